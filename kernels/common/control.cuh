// The numbers that change from step to step, in device memory, so that a captured graph reads them at each launch;
// cualex/devices/cuda.py writes them.
#pragma once

struct Control {
    float rate, bias_rate;
    float corrected, bias_corrected;  // Adam's rates, its corrections folded in
    float momentum;
    float shrink;  // rate * decay, multiplied in float64 and rounded once
    float decay;
    float trust;                   // LARS's coefficient
    unsigned step;                 // counts updates; dropout draws by it
    unsigned seed_low, seed_high;  // Philox's key
    unsigned slot;                 // which of the input buffers holds this step's batch
    unsigned part;                 // index of the micro-batch, where gradients are accumulated
    unsigned finite;               // 0 after a loss that is NaN or Inf: updates then leave the weights alone
};

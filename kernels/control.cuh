// What changes from step to step, in device memory, so that a captured graph reads it anew: cualex/cuda.py writes it.
#pragma once

struct Control {
    float rate, momentum;
    float shrink;                  // rate * decay, multiplied in float64 and rounded once
    unsigned step;                 // counts updates; dropout draws by it
    unsigned seed_low, seed_high;  // Philox's key
    unsigned finite;               // 0 when the last loss was no number: updates leave the weights alone
    unsigned slot;                 // which of the input buffers holds this step's batch
};

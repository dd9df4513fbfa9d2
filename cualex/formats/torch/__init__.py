"""PyTorch: files of torch.save in, a state_dict as safetensors out."""

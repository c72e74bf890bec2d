"""Networks in training: float and quantized, their export to integers and back."""

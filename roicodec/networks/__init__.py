"""What is trained: float and quantized networks, their export to integers and back."""

"""What robots see, and pictures for people: the batched renderer, its catalogue of looks, maps and the gallery."""

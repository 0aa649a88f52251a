"""The data: storage of the rows, their standardisation, sums over them."""

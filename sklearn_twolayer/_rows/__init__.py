"""The data: where the rows are, their standardisation, sums over them."""

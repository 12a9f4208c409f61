"""Where tables come from: each data set yields the tables of the data contract."""

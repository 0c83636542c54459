"""Files of other libraries.

keras_h5       models in Keras's files, both ways: .h5, .hdf5 and .keras
keras_config   what Keras's JSON says of a model, in our terms and back
hdf5           HDF5 that somebody else wrote, read without trusting it
"""

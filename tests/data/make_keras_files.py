"""Writes the models of keras_files.zip with Keras itself: run by hand, where Keras is, once for each release.

    python make_keras_files.py keras FOLDER        # Keras 3
    python make_keras_files.py tf_keras FOLDER     # Keras 2

Each model is written in both formats, with random weights everywhere (biases too: Keras's begin at zero), after some
training, with an input and what Keras predicts for it. The archive has all that the folder has then.
"""

import importlib
import os
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np

keras = importlib.import_module(sys.argv[1])
L, FOLDER = keras.layers, sys.argv[2]
VERSION = 3 if sys.argv[1] == "keras" else 2
rng = np.random.default_rng(VERSION)


def every_layer():
    model = keras.Sequential(
        [
            keras.Input((6,)),
            L.Embedding(50, 4),
            L.SpatialDropout1D(0.1),
            L.Bidirectional(L.LSTM(3, return_sequences=True)),
            L.GRU(3, return_sequences=True),
            L.SimpleRNN(4, activation="relu", return_sequences=True),
            L.LayerNormalization(epsilon=0.01),
            L.TimeDistributed(L.Dense(5, activation="tanh")),
            L.Dropout(0.2),
            L.Reshape((5, 6)),
            L.Activation("elu"),
            L.Flatten(),
            L.Dense(3, activation="softmax"),
        ],
        name="every_layer",
    )
    model.compile(keras.optimizers.Adam(0.01), "categorical_crossentropy", metrics=["acc"])
    return model, rng.integers(0, 50, (8, 6)), np.eye(3)[rng.integers(0, 3, 8)]


def masked():
    model = keras.Sequential(
        [
            keras.Input((None,)),
            L.Embedding(20, 5, mask_zero=True, embeddings_regularizer="l2", name="words"),
            L.LSTM(4, return_sequences=True, kernel_regularizer=keras.regularizers.L1(0.02)),
            L.Bidirectional(L.GRU(3, return_sequences=True), merge_mode="sum"),
            L.Bidirectional(L.LSTM(2, use_bias=False, dropout=0.2), merge_mode="mul"),
            L.Dense(1, activation="sigmoid", bias_regularizer=keras.regularizers.L1L2(0.01, 0.03)),
        ],
        name="masked",
    )
    metrics = [
        keras.metrics.BinaryAccuracy(name="hits", threshold=0.3),
        keras.metrics.AUC(num_thresholds=50),
        keras.metrics.Precision(),
        keras.metrics.Recall(name="found"),
    ]
    optimizer = keras.optimizers.RMSprop(0.02, rho=0.8, momentum=0.5, centered=True, clipvalue=0.7)
    model.compile(optimizer, keras.losses.BinaryCrossentropy(label_smoothing=0.1), metrics=metrics)
    x = rng.integers(1, 20, (8, 7))
    x[rng.random(x.shape) < 0.3] = 0
    x[0], x[1, 3:], x[2, :3] = 0, 0, 0
    return model, x, rng.integers(0, 2, (8, 1))


def backwards():
    model = keras.Sequential(
        [
            keras.Input((5, 3)),
            L.Masking(-1.0),
            L.SimpleRNN(4, go_backwards=True, return_sequences=True),
            L.Bidirectional(L.SimpleRNN(3), merge_mode="ave"),
            L.RepeatVector(4),
            L.GRU(3, go_backwards=True),
            L.Dense(6, activation="softplus", use_bias=False, kernel_initializer="he_normal"),
            L.Activation("selu"),
            L.Dense(6, activation="gelu", kernel_initializer=keras.initializers.RandomNormal(0.5, 0.2, seed=3)),
            L.LayerNormalization(scale=False),
            L.Dense(2),
        ],
        name="backwards",
    )
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5, staircase=True)
    model.compile(keras.optimizers.SGD(rate, momentum=0.9, nesterov=True), "mse", metrics=["mae", "mse"])
    x = rng.standard_normal((8, 5, 3))
    x[0, 2], x[1, :2], x[2, 3:] = -1, -1, -1
    return model, x, rng.standard_normal((8, 2))


def stateful():
    model = keras.Sequential(
        [
            L.InputLayer(batch_shape=(8, 5, 2)) if VERSION == 3 else L.InputLayer(batch_input_shape=(8, 5, 2)),
            L.GRU(3, stateful=True),
            L.Dense(2, activation="linear"),
        ],
        name="stateful",
    )
    model.compile(keras.optimizers.Adagrad(0.05), keras.losses.Huber())
    return model, rng.standard_normal((8, 5, 2)), rng.standard_normal((8, 2))


def sparse():
    model = keras.Sequential([keras.Input((4, 3)), L.LSTM(5, return_sequences=True), L.Dense(4)], name="sparse")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(0.01, weight_decay=0.02, global_clipnorm=2.0), loss, metrics=["accuracy"])
    return model, rng.standard_normal((8, 4, 3)), rng.integers(0, 4, (8, 4))


def old_optimizer():
    model = keras.Sequential([keras.Input((4, 3)), L.GRU(5), L.Dense(2)], name="old_optimizer")
    model.compile(keras.optimizers.legacy.Adam(0.03, beta_1=0.8, clipnorm=1.0), "mae")
    return model, rng.standard_normal((8, 4, 3)), rng.standard_normal((8, 2))


def begin_anew(model):
    for layer in model.layers:
        if getattr(layer, "stateful", False):
            layer.reset_states() if hasattr(layer, "reset_states") else layer.reset_state()


def evaluated(model, x, y):
    begin_anew(model)
    return model.evaluate(x, y, batch_size=8, verbose=0, return_dict=True)


for make in (every_layer, masked, backwards, stateful, sparse, *[old_optimizer] * (VERSION == 2)):
    model, x, y = make()
    model.set_weights([rng.standard_normal(w.shape) * 0.5 for w in model.get_weights()])
    model.fit(x, y, batch_size=8, epochs=3, verbose=0)
    path = os.path.join(FOLDER, f"{make.__name__}_{VERSION}")
    for ending in ("keras", "h5"):  # in this order: Keras 3 leaves the optimizer out of an archive after an .h5
        model.save(f"{path}.{ending}")
    results = evaluated(model, x, y)
    begin_anew(model)
    y_pred = model.predict(x, batch_size=8, verbose=0)
    begin_anew(model)
    model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)  # two more updates, from the optimizer's state
    later = evaluated(model, x, y)["loss"]
    np.savez(f"{path}.npz", x=x, y=y, y_pred=y_pred, later=later, **{f"result_{k}": v for k, v in results.items()})

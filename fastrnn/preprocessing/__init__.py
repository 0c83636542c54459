"""What is done to data before a model sees them, with Keras's and scikit-learn's names.

sequence    pad_sequences                       lists of any length -> one array
text        Tokenizer                           texts -> word numbers, and back
scale       MinMaxScaler, StandardScaler        columns into a range, and back
windows     sliding_windows, split_in_time      a series -> pairs to learn from, in the order of time
"""

from fastrnn.preprocessing import scale, sequence, text, windows
from fastrnn.preprocessing.scale import MinMaxScaler, StandardScaler
from fastrnn.preprocessing.sequence import pad_sequences
from fastrnn.preprocessing.text import Tokenizer
from fastrnn.preprocessing.windows import sliding_windows, split_in_time

__all__ = [
    "MinMaxScaler",
    "StandardScaler",
    "Tokenizer",
    "pad_sequences",
    "scale",
    "sequence",
    "sliding_windows",
    "split_in_time",
    "text",
    "windows",
]

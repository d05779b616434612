"""Goes through an HDF5 file in a process of its own, since there are files in which libhdf5 goes round for ever.

`_trust` runs this file by its path, so it imports nothing of kertl. It exits with 3 if the file takes too much memory,
and with 0 otherwise: what else may be wrong with the file, whoever reads it then says.
"""

import contextlib
import sys
from typing import Any

TOO_LARGE = 3
_MOST_BYTES = 2 * 2**30


def main(path: str) -> int:
    """Look at every group, attribute and array in a file, without the values of arrays; the exit status."""
    with contextlib.suppress(ImportError):  # there is no such limit on Windows
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
    import h5py

    def visit(_: str, one: Any) -> None:
        list(one.attrs.items())
        if isinstance(one, h5py.Dataset):
            one.id.get_storage_size()

    try:
        with h5py.File(path) as file:
            list(file.attrs.items())
            file.visititems(visit)
    except MemoryError:
        return TOO_LARGE
    except Exception as error:
        return TOO_LARGE if "alloc" in str(error) else 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

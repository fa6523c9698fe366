"""Entry point of the command line: errors and warnings of a command are told in short."""

import sys
import warnings

from skwing._cli import commands
from skwing._cli.parser import make_parser
from skwing._cli.wording import in_options

# Errors caused by the input. Other exceptions are bugs and keep their traceback.
_USER_ERRORS = (ValueError, TypeError, OSError, ImportError)


def main(argv=None):
    """Run a command.

    Parameters
    ----------
    argv : list of str, default=None
        Arguments; None uses ``sys.argv``.

    Returns
    -------
    code : int
        Exit code: 0 for success, 1 for invalid input or images without landmarks, 130 for
        Ctrl-C.
    """
    args = make_parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            return getattr(commands, args.command)(args)
        except KeyboardInterrupt:
            print("skwing: interrupted", file=sys.stderr)
            return 130
        except _USER_ERRORS as error:
            if args.traceback:
                raise
            told = " ".join([str(error), *getattr(error, "__notes__", ())])
            print(f"skwing {args.command}: error: {in_options(told)}", file=sys.stderr)
            return 1


def _show_warning(message, category, filename, lineno, file=None, line=None):
    print(f"skwing: warning: {in_options(str(message))}", file=sys.stderr)

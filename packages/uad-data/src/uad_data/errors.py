"""The one error a user's input can raise."""


class InputError(ValueError):
    """Input that cannot be used: the message names it, says what was expected, what was found and what to do.

    The commands print it as one line on standard error and exit with status 2.
    """

"""Which variables light net and booster share, and which each has alone."""

SHARED, LIGHT_ONLY, BOOSTER_ONLY = PARTS = ("shared", "light only", "booster only")


def parts(light, booster, variables_of):
    """Variables by who has them.

    Args:
        light: the light net.
        booster: the booster, or `None`.
        variables_of: function from a net to its variables, such as its trainable ones.

    Returns:
        Dict from the `PARTS` to lists of `keras.Variable`s.
    """
    lights = {id(variable): variable for variable in variables_of(light)}
    boosters = {}
    if booster is not None:
        boosters = {id(variable): variable for variable in variables_of(booster)}
    return {
        SHARED: [variable for key, variable in lights.items() if key in boosters],
        LIGHT_ONLY: [variable for key, variable in lights.items() if key not in boosters],
        BOOSTER_ONLY: [variable for key, variable in boosters.items() if key not in lights],
    }

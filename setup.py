"""What pyproject.toml cannot say: all packages, and `configs/` as one of them."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["rocket_tf*"]), "rocket_tf.configs"],
    # So that the installed command has the configurations too.
    package_data={"rocket_tf": ["py.typed"]},
    package_dir={"rocket_tf.configs": "configs"},
)

"""How a RocketModel is written to a .keras file, and made again from it."""

import keras

from rocket_tf.core import graph


class RocketConfiguration:
    """Mixed into a `RocketModel`, gives Keras its configuration."""

    def get_config(self):
        # One graph holds both nets, so that the layers they share are written, and read, once.
        joint = keras.Model(self.input, self.output, name=f"{self.name}_graph")
        nets = {"light": self.light} | ({} if self.booster is None else {"booster": self.booster})
        return {
            "name": self.name,
            "joint": keras.saving.serialize_keras_object(joint),
            "nets": {role: graph.net_config(role, net, joint) for role, net in nets.items()},
            "teacher": keras.saving.serialize_keras_object(_without_optimizer(self.teacher)),
            "hint": [keras.saving.serialize_keras_object(hint) for hint in self.hints],
            "gradient_block": self.gradient_block,
            "shared_layers_learn_from": self.shared_layers_learn_from,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        def deserialize(part):
            return keras.saving.deserialize_keras_object(part, custom_objects=custom_objects)

        joint = deserialize(config["joint"])
        nets = {
            role: graph.net_from_config(net_config, joint)
            for role, net_config in config["nets"].items()
        }
        return cls(
            **nets,
            hint=[deserialize(hint) for hint in config["hint"]],
            gradient_block=config["gradient_block"],
            teacher=deserialize(config["teacher"]),
            shared_layers_learn_from=config.get("shared_layers_learn_from", "both"),
            name=config["name"],
        )

    def get_compile_config(self):
        if not self.compiled:
            return {}
        arguments = keras.saving.serialize_keras_object(dict(self._own_compile_arguments))
        return {**super().get_compile_config(), **arguments}

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)


def _without_optimizer(net):
    """The net as it was before `compile`; what it was trained with is not needed any more."""
    return None if net is None else keras.Model(net.input, net.output, name=net.name)

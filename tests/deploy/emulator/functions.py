"""What the emulator's Lambda leaves out: a function's network and key, a number of its event source, where its code lies."""

import os

from ministack.services import lambda_svc


def with_network_and_key(put):
    """A handler that makes or changes a function, made to keep its VpcConfig and KmsKeyArn, which describe calls tell."""

    def kept(*arguments, **named):
        physical, attributes = put(*arguments, **named)
        # create(logical id, properties, stack), update(physical id, old properties, new properties, stack)
        props = arguments[1] if len(arguments) == 3 else arguments[2]
        lambda_svc._functions[physical]["config"].update(
            VpcConfig=lambda_svc._vpc_config_with_id(props.get("VpcConfig")), KMSKeyArn=props.get("KmsKeyArn", ""))
        return physical, attributes

    return kept


def with_number(put):
    """A handler that makes or changes an event source, made to take its MaximumConcurrency as the number that a parameter's text stands for."""

    def kept(*arguments):
        def numbered(props):
            scaling = props.get("ScalingConfig") if isinstance(props, dict) else None
            return {**props, "ScalingConfig": {"MaximumConcurrency": int(scaling["MaximumConcurrency"])}} if scaling else props

        return put(*map(numbered, arguments))

    return kept


def task_in_place(environment):
    """The maker of a function's environment, made to name the folder of its code for /var/task, where it lies on AWS."""

    def made(config, folder, port):
        told = environment(config, folder, port)
        told.setdefault("AWS_ENDPOINT_URL", f"http://{os.environ['BIND_HOST']}:{os.environ['GATEWAY_PORT']}")
        return {name: value.replace("/var/task/", f"{folder}/") for name, value in told.items()}

    return made


def register(handlers: dict) -> None:
    lambda_svc._provided_worker_env = task_in_place(lambda_svc._provided_worker_env)
    sources = handlers["AWS::Lambda::EventSourceMapping"]
    sources.update(create=with_number(sources["create"]), update=with_number(sources["update"]))
    functions = handlers["AWS::Lambda::Function"]
    functions.update(create=with_network_and_key(functions["create"]), update=with_network_and_key(functions["update"]))

"""DB instances and secrets.

* A DB instance with a managed password has the secret that RDS makes for it.
* With RDS_SERVER=HOST:PORT a DB instance's endpoint is that MySQL server, on
  which its master user is made, as RDS makes it on the server of its own
  (the server's root user must have an empty password).
* A secret's text that is to have no punctuation has none.
"""

import json
import os
import string

import pymysql
from forms import boolean, new_id, xml
from ministack.services import rds, secretsmanager
from ministack.services.cloudformation import provisioners

HANDLERS = provisioners._RESOURCE_HANDLERS


def make_master(user: str, password: str) -> None:
    """Makes the master user on the MySQL server that stands in for RDS's, with RDS's rights: all, and to grant them."""
    host, port = os.environ["RDS_SERVER"].rsplit(":", 1)
    encrypted = {"check_hostname": False}
    with pymysql.connect(host=host, port=int(port), user="root", autocommit=True, ssl=encrypted) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE OR REPLACE USER %s@'%%' IDENTIFIED BY %s", (user, password))
        cursor.execute("GRANT ALL PRIVILEGES ON *.* TO %s@'%%' WITH GRANT OPTION", (user,))


def managed_secret(database: str, user: str, stack: str) -> tuple:
    """The secret that RDS keeps for a DB instance's master user: its name and its attributes."""
    return HANDLERS["AWS::SecretsManager::Secret"]["create"]("Master", {
        "Name": f"rds!{new_id('db')}",
        "Description": f"The secret associated with the primary RDS DB instance: {database}",
        "GenerateSecretString": {
            "SecretStringTemplate": f'{{"username":"{user}"}}', "GenerateStringKey": "password", "PasswordLength": 28,
            "ExcludePunctuation": True,
        },
    }, stack)


created_by_ministack = HANDLERS["AWS::RDS::DBInstance"]["create"]
deleted_by_ministack = HANDLERS["AWS::RDS::DBInstance"]["delete"]
attributes_of_ministack = provisioners._rds_db_instance_attrs


def database_attributes(instance) -> dict:
    """What Fn::GetAtt tells of a DB instance, its managed secret with it."""
    secret = instance.get("MasterUserSecret")
    return {**attributes_of_ministack(instance), **({"MasterUserSecret.SecretArn": secret["SecretArn"]} if secret else {})}


def master_of(props) -> str:
    """The master user of a DB instance: the template's, or that of the snapshot which the instance begins from."""
    snapshot = props.get("DBSnapshotIdentifier")
    if not snapshot:
        return props["MasterUsername"]
    if snapshot not in rds._snapshots:
        raise ValueError(f"DBSnapshot not found: {snapshot}")
    return rds._snapshots[snapshot]["MasterUsername"]


def create_database(logical_id, props, stack):
    props = {**props, "MasterUsername": master_of(props)}
    identifier, _ = created_by_ministack(logical_id, props, stack)
    instance = rds._instances[identifier]
    instance["EnabledCloudwatchLogsExports"] = props.get("EnableCloudwatchLogsExports", [])
    if os.environ.get("RDS_SERVER"):
        host, port = os.environ["RDS_SERVER"].rsplit(":", 1)
        instance["Endpoint"].update(Address=host, Port=int(port))
    password = props.get("MasterUserPassword")
    if boolean(props.get("ManageMasterUserPassword")):
        name, attributes = managed_secret(identifier, props["MasterUsername"], stack)
        instance["MasterUserSecret"] = {"SecretArn": attributes["Arn"], "SecretStatus": "active", "KmsKeyId": ""}
        instance["_managed_secret"] = name
        password = managed_password(name)
    if os.environ.get("RDS_SERVER"):
        make_master(props["MasterUsername"], password)
    return identifier, database_attributes(instance)


def told_in_full(instance_xml):
    """What describe calls tell of a DB instance, with the exported logs and the managed secret that the emulator keeps to itself."""

    def told(instance):
        rest = xml("EnabledCloudwatchLogsExports", {"member": instance.get("EnabledCloudwatchLogsExports", [])})
        if instance.get("MasterUserSecret"):
            rest += xml("MasterUserSecret", instance["MasterUserSecret"])
        return instance_xml(instance).replace("<EnabledCloudwatchLogsExports/>", rest)

    return told


def managed_password(name: str) -> str:
    """The password that a managed secret holds."""
    return json.loads(secretsmanager.resolve_secret_string(name, "AWSCURRENT", None))["password"]


def delete_database(identifier, props):
    instance = rds._instances.get(identifier) or {}
    if instance.get("_managed_secret"):
        HANDLERS["AWS::SecretsManager::Secret"]["delete"](instance["_managed_secret"], {})
    deleted_by_ministack(identifier, props)


def without_punctuation(secret_string):
    """The emulator's maker of a secret's text, which knows no ExcludePunctuation, made to heed it."""

    def made(props):
        wanted = props.get("GenerateSecretString")
        if wanted and boolean(wanted.get("ExcludePunctuation")):
            excluded = wanted.get("ExcludeCharacters", "") + string.punctuation
            props = {**props, "GenerateSecretString": {**wanted, "ExcludeCharacters": excluded}}
        return secret_string(props)

    return made


def register(handlers: dict) -> None:
    handlers["AWS::RDS::DBInstance"].update(create=create_database, delete=delete_database)
    provisioners._rds_db_instance_attrs = database_attributes
    rds._instance_xml = told_in_full(rds._instance_xml)
    provisioners._sm_secret_string = without_punctuation(provisioners._sm_secret_string)

"""Public addresses, NAT gateways, flow logs, and rules of security groups that stand apart from their group."""

from forms import new_id
from ministack.services import ec2
from ministack.services.cloudformation import provisioners


def replaceable(create, delete, id_of, attributes_of) -> dict:
    """Handlers of an EC2 type: a change of its tags is made in place, any other makes a new one and removes the old."""

    def update(physical, old, new, stack):
        if {**old, "Tags": None} == {**new, "Tags": None}:
            provisioners._ec2_apply_tags(id_of(physical), new, old)
            return physical, attributes_of(physical)
        made = create(None, new, stack)
        delete(physical, old)
        return made

    return {"create": create, "delete": delete, "update": update}


def create_address(_logical_id, props, _stack):
    allocation, address = new_id("eipalloc"), ec2._random_ip("52.")
    ec2._addresses[allocation] = {
        "AllocationId": allocation, "PublicIp": address, "Domain": props.get("Domain", "vpc"), "AssociationId": None,
        "InstanceId": None, "NetworkInterfaceId": None, "PrivateIpAddress": None,
    }
    provisioners._ec2_apply_tags(allocation, props)
    return address, {"AllocationId": allocation, "PublicIp": address}


def allocation_of(address) -> str:
    """The allocation of a public address, which is the physical id of the type."""
    return next((key for key, value in ec2._addresses.items() if value["PublicIp"] == address), "")


def delete_address(address, _props):
    allocation = allocation_of(address)
    ec2._addresses.pop(allocation, None)
    ec2._tags.pop(allocation, None)


def create_nat_gateway(_logical_id, props, _stack):
    subnet = ec2._subnets.get(props["SubnetId"])
    if subnet is None:
        raise ValueError(f"The subnet '{props['SubnetId']}' does not exist")
    allocation = props.get("AllocationId")
    if props.get("ConnectivityType", "public") == "public" and allocation not in ec2._addresses:
        raise ValueError(f"The allocation ID '{allocation}' does not exist")
    gateway = new_id("nat")
    ec2._nat_gateways[gateway] = {
        "NatGatewayId": gateway, "SubnetId": props["SubnetId"], "VpcId": subnet["VpcId"], "AllocationId": allocation,
        "ConnectivityType": props.get("ConnectivityType", "public"), "State": "available", "CreateTime": ec2._now_ts(), "Tags": [],
    }
    provisioners._ec2_apply_tags(gateway, props)
    return gateway, {"NatGatewayId": gateway}


def delete_nat_gateway(gateway, _props):
    ec2._nat_gateways.pop(gateway, None)
    ec2._tags.pop(gateway, None)


def create_flow_log(_logical_id, props, _stack):
    log = new_id("fl")
    ec2._flow_logs[log] = {
        "FlowLogId": log, "ResourceId": props["ResourceId"], "ResourceType": props["ResourceType"],
        "TrafficType": props.get("TrafficType", "ALL"), "LogDestinationType": props.get("LogDestinationType", "cloud-watch-logs"),
        "LogDestination": props.get("LogDestination") or props.get("LogGroupName", ""), "FlowLogStatus": "ACTIVE",
        "CreationTime": ec2._now_ts(),
    }
    provisioners._ec2_apply_tags(log, props)
    return log, {"Id": log}


def delete_flow_log(log, _props):
    ec2._flow_logs.pop(log, None)
    ec2._tags.pop(log, None)


def rule_handlers(direction: str) -> dict:
    """Handlers of a rule of the given direction, IpPermissions or IpPermissionsEgress."""

    def create(_logical_id, props, _stack):
        group = ec2._security_groups.get(props.get("GroupId"))
        if group is None:
            raise ValueError(f"The security group '{props.get('GroupId')}' does not exist")
        group[direction].extend(provisioners._ec2_sg_permissions([props]))
        rule = new_id("sgr")
        return rule, {"Id": rule}

    def delete(_rule, props):
        group = ec2._security_groups.get(props.get("GroupId"))
        for permission in provisioners._ec2_sg_permissions([props]):
            if group and permission in group[direction]:
                group[direction].remove(permission)

    def update(rule, old, new, _stack):
        delete(rule, old)
        create(None, new, None)
        return rule, {"Id": rule}

    return {"create": create, "delete": delete, "update": update}


def register(handlers: dict) -> None:
    handlers.update({
        "AWS::EC2::EIP": replaceable(
            create_address, delete_address, allocation_of,
            lambda address: {"AllocationId": allocation_of(address), "PublicIp": address}),
        "AWS::EC2::NatGateway": replaceable(
            create_nat_gateway, delete_nat_gateway, str, lambda gateway: {"NatGatewayId": gateway}),
        "AWS::EC2::FlowLog": replaceable(create_flow_log, delete_flow_log, str, lambda log: {"Id": log}),
        "AWS::EC2::SecurityGroupIngress": rule_handlers("IpPermissions"),
        "AWS::EC2::SecurityGroupEgress": rule_handlers("IpPermissionsEgress"),
    })

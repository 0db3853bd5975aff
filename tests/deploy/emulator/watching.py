"""Budgets, and alarms over several metrics."""

from forms import boolean
from ministack.services import budgets
from ministack.services.cloudformation import provisioners


def checked_budget(answer) -> None:
    """Turns a refusal of the budgets service into a failure of the resource."""
    status, _headers, body = answer
    if status != 200:
        raise ValueError(body.decode())


def budget_request(props, name: str) -> dict:
    """The template's budget as CreateBudget takes it: numbers as numbers."""
    entries = []
    for entry in props.get("NotificationsWithSubscribers", []):
        notification = dict(entry["Notification"], Threshold=float(entry["Notification"]["Threshold"]))
        entries.append({"Notification": notification, "Subscribers": entry["Subscribers"]})
    return {"Budget": dict(props["Budget"], BudgetName=name), "NotificationsWithSubscribers": entries}


def create_budget(logical_id, props, stack):
    name = props["Budget"].get("BudgetName") or f"{stack}-{logical_id}"
    checked_budget(budgets._create_budget(budget_request(props, name)))
    return name, {}


def delete_budget(name, _props):
    if name in budgets._budgets:
        checked_budget(budgets._delete_budget({"BudgetName": name}))


def update_budget(name, _old, new, _stack):
    delete_budget(name, None)
    checked_budget(budgets._create_budget(budget_request(new, name)))
    return name, {}


alarm_of_ministack = provisioners._cw_metric_alarm_record


def alarm_record(name, props) -> dict:
    """An alarm as PutMetricAlarm keeps it. One that computes from several metrics is kept as it is and never sounds: it has no metric."""
    metrics = props.get("Metrics")
    if not metrics:
        return alarm_of_ministack(name, props)
    record = alarm_of_ministack(name, {**props, "Metrics": None, "MetricName": "none", "Namespace": "none"})
    for metric in metrics:
        metric["ReturnData"] = boolean(metric.get("ReturnData", True))
        if "MetricStat" in metric:
            metric["MetricStat"]["Period"] = int(metric["MetricStat"]["Period"])
    return {**record, "MetricName": "", "Namespace": "", "Metrics": metrics}


def register(handlers: dict) -> None:
    handlers["AWS::Budgets::Budget"] = {"create": create_budget, "delete": delete_budget, "update": update_budget}
    provisioners._cw_metric_alarm_record = alarm_record

"""The stack ops as AWS tells it: what alarms look at and when they sound, whom they tell, the dashboard, the count of errors, the budget."""

import http.server
import json
import re
import subprocess
import tempfile
import threading
import unittest

from cfnlint.decode import cfn_yaml

from deployment import NAME, Deployment
from gallery import program
from ministack import REGION, STACKS, MiniStack

aws: MiniStack
deployment: Deployment


def setUpModule():
    global aws, deployment
    aws = MiniStack().start()
    unittest.addModuleCleanup(aws.stop)
    deployment = Deployment(aws, {})
    deployment.deploy("web", Workers="fleet")


class Ops(unittest.TestCase):
    """The stack is made anew for each test, and is gone afterwards."""

    def deploy(self, **parameters: str) -> dict[str, str]:
        """Makes or updates the stack and returns its outputs."""
        self.addCleanup(aws.delete, f"{NAME}-ops")
        deployment.deploy("ops", **parameters)
        return aws.outputs(f"{NAME}-ops")

    def alarms(self) -> dict[str, dict]:
        """The stack's alarms, by their names without the deployment's."""
        found = aws.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"{NAME}-")["MetricAlarms"]
        return {one["AlarmName"].removeprefix(f"{NAME}-"): one for one in found}

    def looked_at(self, alarm: dict) -> list[tuple[str, str, frozenset]]:
        """The metrics that an alarm looks at: namespace, name, dimensions."""
        metrics = [one["MetricStat"]["Metric"] for one in alarm.get("Metrics", []) if "MetricStat" in one] or [alarm]
        return [
            (one["Namespace"], one["MetricName"], frozenset((each["Name"], each["Value"]) for each in one.get("Dimensions", [])))
            for one in metrics
        ]


class Alarms(Ops):
    def test_each_looks_at_what_it_is_named_for(self):
        self.deploy()
        told = deployment.outputs
        balancer = ("LoadBalancer", told["LoadBalancerFullName"])
        servers = {balancer, ("TargetGroup", told["TargetGroupFullName"])}
        group, database = ("AutoScalingGroupName", told["WebGroup"]), ("DBInstanceIdentifier", told["DatabaseInstance"])
        site, rds, sqs = "AWS/ApplicationELB", "AWS/RDS", "AWS/SQS"
        expected = {
            "load-balancer-5xx": [(site, "HTTPCode_ELB_5XX_Count", {balancer})],
            "server-5xx": [(site, "HTTPCode_Target_5XX_Count", servers), (site, "RequestCount", servers)],
            "unhealthy-servers": [(site, "UnHealthyHostCount", servers)],
            "no-server": [(site, "HealthyHostCount", servers)],
            "slow-answers": [(site, "TargetResponseTime", servers)],
            "servers-cpu": [("AWS/EC2", "CPUUtilization", {group})],
            "errors-in-logs": [(NAME, "ErrorLines", set())],
            "database-cpu": [(rds, "CPUUtilization", {database})],
            "database-disk": [(rds, "FreeStorageSpace", {database})],
            "database-memory": [(rds, "FreeableMemory", {database})],
            "database-connections": [(rds, "DatabaseConnections", {database})],
            "database-credits": [(rds, "CPUSurplusCreditsCharged", {database})],
            "dead-letters": [(sqs, "ApproximateNumberOfMessagesVisible", {("QueueName", told["DeadLetterQueueName"])})],
            "late-work": [(sqs, "ApproximateAgeOfOldestMessage", {("QueueName", told["QueueName"])})],
        }
        found = {name: sorted(self.looked_at(alarm), key=str) for name, alarm in self.alarms().items()}
        wanted = {name: sorted(((space, metric, frozenset(at)) for space, metric, at in all_of), key=str) for name, all_of in expected.items()}
        self.assertEqual(found, wanted)

    def test_all_tell_of_beginning_and_end_and_say_what_is_wrong(self):
        topic = self.deploy()["AlarmsTopic"]
        for name, alarm in self.alarms().items():
            self.assertEqual((alarm["AlarmActions"], alarm["OKActions"]), ([topic], [topic]), name)
            self.assertRegex(alarm["AlarmDescription"], r"^[A-Z].{30,}\.$", name)

    def test_silence_is_an_alarm_only_where_it_means_that_nothing_runs(self):
        self.deploy()
        silence = {name: alarm["TreatMissingData"] for name, alarm in self.alarms().items()}
        # Load balancers and queues without requests, and classes without credits, have no figures.
        self.assertEqual({name for name, means in silence.items() if means == "breaching"}, {"no-server", "database-cpu"})
        self.assertEqual(
            {name for name, means in silence.items() if means == "missing"}, {"database-disk", "database-memory", "database-connections"})
        self.assertEqual(set(silence.values()), {"breaching", "missing", "notBreaching"})

    def test_they_sound_where_they_should(self):
        self.deploy(SlowSeconds="7", LateSeconds="600", DatabaseFreeGiB="9", DatabaseMostConnections="80")
        alarms = self.alarms()

        def bound(name: str) -> tuple:
            alarm = alarms[name]
            return alarm["ComparisonOperator"], alarm["Threshold"], alarm["DatapointsToAlarm"], alarm["EvaluationPeriods"]

        self.assertEqual(bound("load-balancer-5xx"), ("GreaterThanOrEqualToThreshold", 5.0, 3, 5))
        self.assertEqual(bound("server-5xx"), ("GreaterThanThreshold", 5.0, 3, 5))
        self.assertEqual(bound("unhealthy-servers"), ("GreaterThanOrEqualToThreshold", 1.0, 5, 5))
        self.assertEqual(bound("no-server"), ("LessThanThreshold", 1.0, 2, 2))
        self.assertEqual(bound("slow-answers"), ("GreaterThanThreshold", 7.0, 5, 5))
        self.assertEqual(alarms["slow-answers"]["ExtendedStatistic"], "p99")
        self.assertEqual(bound("dead-letters"), ("GreaterThanThreshold", 0.0, 1, 1))
        self.assertEqual(bound("late-work"), ("GreaterThanThreshold", 600.0, 5, 5))
        self.assertEqual(bound("database-disk"), ("LessThanThreshold", 9.0, 3, 3))
        self.assertEqual(bound("database-connections"), ("GreaterThanThreshold", 80.0, 3, 3))
        self.assertEqual(bound("database-credits"), ("GreaterThanThreshold", 0.0, 1, 1))

    def test_a_share_of_failures_is_taken_of_enough_requests_and_gibibytes_of_bytes(self):
        self.deploy()
        alarms = self.alarms()

        def expression(name: str) -> str:
            [told] = [one for one in alarms[name]["Metrics"] if one.get("ReturnData")]
            return told["Expression"]

        self.assertEqual(expression("server-5xx"), "IF(requests >= 20, 100 * FILL(failures, 0) / requests, 0)")
        self.assertEqual(expression("database-disk"), f"free / {2**30}")
        self.assertEqual(expression("database-memory"), f"free / {2**20}")


class WhoIsTold(Ops):
    def test_the_address_is_subscribed_where_there_is_one(self):
        topic = self.deploy()["AlarmsTopic"]
        subscriptions = lambda: aws.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
        self.assertEqual(subscriptions(), [])
        self.deploy(AlarmEmail="ann@example.org")
        self.assertEqual([(one["Protocol"], one["Endpoint"]) for one in subscriptions()], [("email", "ann@example.org")])

    def test_alarms_and_budgets_of_this_account_and_nobody_else_may_write(self):
        topic = self.deploy()["AlarmsTopic"]
        policy = json.loads(aws.client("sns").get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"])
        [statement] = policy["Statement"]
        self.assertEqual(set(statement["Principal"]["Service"]), {"cloudwatch.amazonaws.com", "budgets.amazonaws.com"})
        self.assertEqual((statement["Effect"], statement["Action"], statement["Resource"]), ("Allow", "sns:Publish", topic))
        self.assertEqual(statement["Condition"], {"StringEquals": {"aws:SourceAccount": "000000000000"}})

    def test_a_budget_is_made_where_one_is_named_and_tells_of_spending_and_of_the_forecast(self):
        topic = self.deploy()["AlarmsTopic"]
        budgets = aws.client("budgets")
        self.assertEqual(budgets.describe_budgets(AccountId="000000000000").get("Budgets", []), [])
        self.deploy(MonthlyBudget="120")
        [budget] = budgets.describe_budgets(AccountId="000000000000")["Budgets"]
        self.assertEqual((budget["BudgetType"], budget["TimeUnit"]), ("COST", "MONTHLY"))
        self.assertEqual(budget["BudgetName"], f"{NAME}-{REGION}", "an account has the names of budgets for all regions")
        self.assertEqual((float(budget["BudgetLimit"]["Amount"]), budget["BudgetLimit"]["Unit"]), (120.0, "USD"))
        told = budgets.describe_notifications_for_budget(AccountId="000000000000", BudgetName=budget["BudgetName"])["Notifications"]
        self.assertEqual({(one["NotificationType"], one["Threshold"]) for one in told}, {("ACTUAL", 80.0), ("FORECASTED", 100.0)})
        for notification in told:
            subscribers = budgets.describe_subscribers_for_notification(
                AccountId="000000000000", BudgetName=budget["BudgetName"], Notification=notification)["Subscribers"]
            self.assertEqual([(one["SubscriptionType"], one["Address"]) for one in subscribers], [("SNS", topic)])


class Dashboard(Ops):
    def body(self) -> dict:
        """What the dashboard is made of."""
        self.deploy()
        return json.loads(aws.client("cloudwatch").get_dashboard(DashboardName=f"{NAME}-{REGION}")["DashboardBody"])

    def metrics(self, widget: dict) -> list[tuple[str, str, frozenset]]:
        """The metrics that a widget draws: namespace, name, dimensions."""
        drawn = []
        for metric in widget["properties"]["metrics"]:
            names = [part for part in metric if isinstance(part, str)]
            drawn.append((names[0], names[1], frozenset(zip(names[2::2], names[3::2], strict=True))))
        return drawn

    def test_it_is_json_without_a_name_left_open_whose_widgets_lie_side_by_side(self):
        body = self.body()
        self.assertNotIn("${", json.dumps(body))
        self.assertTrue(aws.outputs(f"{NAME}-ops")["Dashboard"].endswith(f"#dashboards:name={NAME}-{REGION}"))
        cells = [
            (x, y) for widget in body["widgets"]
            for x in range(widget["x"], widget["x"] + widget["width"]) for y in range(widget["y"], widget["y"] + widget["height"])
        ]
        self.assertEqual(len(cells), len(set(cells)), "two widgets lie on each other")
        self.assertLessEqual(max(x for x, _ in cells), 23)
        for widget in body["widgets"]:
            self.assertIn(widget["type"], {"metric", "log"})
            self.assertEqual(widget["properties"]["region"], "us-east-1")
            self.assertTrue(widget["properties"]["title"])

    def test_it_draws_what_alarms_look_at_and_nothing_of_other_things(self):
        body = self.body()
        drawn = {metric for widget in body["widgets"] if widget["type"] == "metric" for metric in self.metrics(widget)}
        own = {value for value in deployment.outputs.values()}
        for space, name, dimensions in drawn:
            for _, value in dimensions:
                self.assertIn(value, own, (space, name))
        alarmed = {metric for alarm in self.alarms().values() for metric in self.looked_at(alarm)}
        beside = {(space, name) for space, name, _ in alarmed - drawn}
        self.assertEqual(beside, {(NAME, "ErrorLines"), ("AWS/RDS", "CPUSurplusCreditsCharged")})

    def test_its_errors_come_from_the_machines_log(self):
        [widget] = [one for one in self.body()["widgets"] if one["type"] == "log"]
        query = widget["properties"]["query"]
        self.assertTrue(query.startswith(f"SOURCE '{deployment.outputs['LogGroup']}' | "), query)


class Refusing(http.server.BaseHTTPRequestHandler):
    """A bucket that may not be used."""

    def refuse(self) -> None:
        body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_DELETE = refuse

    def log_message(self, *_words) -> None:
        pass


class Errors(Ops):
    def journal(self) -> list[str]:
        """Lines as machines send them, the program's own below the journal's words: it waits for a bucket, which then says no."""
        bucket = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing, bind_and_activate=False)
        self.addCleanup(bucket.server_close)
        bucket.server_bind()
        folder = self.enterContext(tempfile.TemporaryDirectory())
        environment = {
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{bucket.server_address[1]}", "GALLERY__STORE__S3__BUCKET": "photos",
            "GALLERY__DATA": folder, "GALLERY__SERVER__BIND": "127.0.0.1", "GALLERY__SERVER__PORT": "0", "GALLERY__LABELER": "none",
            "GALLERY__IDENTITY": "none", "GALLERY__LOG__FORMAT": "json",
        }
        lines = []
        with subprocess.Popen([program(), "serve"], env=environment, cwd=folder, stderr=subprocess.PIPE, text=True) as gallery:
            deadline = threading.Timer(60, gallery.kill)
            deadline.start()
            for line in gallery.stderr:
                lines.append(f"photo-gallery[812]: {line.rstrip()}")
                if "the gallery is at" in line:
                    bucket.server_activate()
                    threading.Thread(target=bucket.serve_forever, daemon=True).start()
                    self.addCleanup(bucket.shutdown)
            deadline.cancel()
        return lines

    def test_the_programs_errors_are_counted_and_its_other_lines_are_not(self):
        self.deploy()
        [counted] = aws.client("logs").describe_metric_filters(logGroupName=deployment.outputs["LogGroup"])["metricFilters"]
        pattern, [value] = counted["filterPattern"], counted["metricTransformations"]
        self.assertEqual((value["metricNamespace"], value["metricName"], value["metricValue"]), (NAME, "ErrorLines", "1"))
        [query] = [
            one["properties"]["query"]
            for one in json.loads(aws.client("cloudwatch").get_dashboard(DashboardName=f"{NAME}-{REGION}")["DashboardBody"])["widgets"] if one["type"] == "log"
        ]
        # CloudWatch Logs reads what stands between percent signs as a regular expression; the dashboard's stands between slashes.
        self.assertRegex(pattern, r"^%[A-Za-z.]+%$")
        expression = re.compile(pattern.strip("%"))
        self.assertIn(f"filter @message like /{expression.pattern}/", query)
        lines = self.journal()
        levels = {line: json.loads(line.split(": ", 1)[1])["level"] for line in lines if ": {" in line}
        self.assertEqual(set(levels.values()), {"INFO", "WARN", "ERROR"}, lines)
        for line, level in levels.items():
            self.assertEqual(bool(expression.search(line)), level == "ERROR", line)


class Template(unittest.TestCase):
    def test_a_few_slow_answers_among_few_do_not_count(self):
        alarm = cfn_yaml.load(str(STACKS / "ops.yaml"))["Resources"]["SlowAnswers"]["Properties"]
        self.assertEqual(alarm["EvaluateLowSampleCountPercentile"], "ignore")


if __name__ == "__main__":
    unittest.main()

"""Runs the service with the shipped files, and Prometheus against it.

    python3 .ci/deploy_service.py PROGRAM DEPLOY WORK

What this build of the service does not have is printed as `left out: …`; everything that it has must work.
"""

import json
import re
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import dashboard
from deploy_proxy import free_ports

PATIENCE_S = 20


def variables(text):
    """Returns the variables that a file in the form of .env.example sets."""
    return dict(line.split("=", 1) for line in text.splitlines() if re.match(r"[A-Z_]+=", line))


def documented(text):
    return set(re.findall(r"^#?([A-Z_]+)=", text, re.MULTILINE))


def get(port, path, key=None):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"X-API-Key": key} if key else {})
    try:
        with urllib.request.urlopen(request, timeout=5) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode()
    except OSError:
        return 0, ""


def wait_for(what, condition, process):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None, f"{what}: the process ended with {process.returncode}"
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


# This service is started without a certificate and without receivers of alerts, and no forecast has come true yet.
ONLY_WITH_MORE = {
    "tft_tls_not_after_seconds",
    "tft_notifications_total",
    "tft_notification_queue_length",
    "tft_drift_detected",
}

class Service:
    """The program under test with an environment of its own."""

    def __init__(self, program, deploy, work):
        self.program, self.deploy, self.work = program, deploy, work
        self.commands = set(re.findall(r"^  ([a-z-]+)  ", self.run("--help").stdout, re.MULTILINE))
        self.example = (deploy / ".env.example").read_text()

    def run(self, *arguments, **environment):
        command = [self.program, *arguments]
        return subprocess.run(command, env=environment, cwd=self.work, capture_output=True, text=True, timeout=PATIENCE_S)

    def has(self, command):
        if command not in self.commands:
            print(f"left out: `{command}`, which this build of the service does not have")
        return command in self.commands

    def check_variables(self):
        known = set(re.findall(r"\[env: ([A-Z_]+)", self.run("serve", "--help").stdout))
        missing = known - documented(self.example)
        assert known, "`serve --help` names no variables"
        assert not missing, f".env.example lacks {sorted(missing)}"

    def check_refusal(self):
        """The file as it is has a placeholder for the key."""
        refused = self.run("serve", **variables(self.example) | {"PORT": "0"})
        assert refused.returncode == 1 and "TFT_API_KEY" in refused.stderr, f"the placeholder was taken: {refused}"

    def check_configuration(self):
        if self.has("check"):
            # Everything in the file, what is commented out too, except paths that this machine lacks.
            text = (self.deploy / "tft-service.toml").read_text()
            text = re.sub(r"^#(?=[a-z_]+ = )(?!.*(?:/etc/|/var/))", "", text, flags=re.MULTILINE)
            (self.work / "service.toml").write_text(text)
            checked = self.run("check", TFT_CONFIG=str(self.work / "service.toml"))
            assert checked.returncode == 0, f"tft-service.toml: {checked}"

    def check_rules(self):
        if self.has("rules"):
            for command, file in (("check", "rules.toml"), ("test", "rules_test.toml")):
                done = self.run("rules", command, str(self.deploy / file))
                assert done.returncode == 0, f"rules {command}: {done}"

    def key(self):
        return self.run("gen-key").stdout.strip() if self.has("gen-key") else secrets.token_hex(32)

    def check_running(self):
        port, prometheus_port = free_ports(2)
        key = self.key()
        own = {"TFT_API_KEY": key, "PORT": str(port), "METRICS_OPEN": "true"}
        with open(self.work / "service.log", "w", encoding="utf-8") as log:
            process = subprocess.Popen([self.program, "serve"], env=variables(self.example) | own, cwd=self.work, stderr=log)
        try:
            wait_for("GET /health", lambda: get(port, "/health")[0] == 200, process)
            assert get(port, "/alerts/active", key)[0] == 200, "the key does not open"
            assert get(port, "/alerts/active")[0] == 403, "no key opens"
            if self.has("healthcheck"):
                self.check_health(port, 0)
            if get(port, "/metrics")[0] == 404:
                print("left out: metrics, which this build of the service does not have")
            else:
                self.check_metrics(port, prometheus_port)
        finally:
            process.terminate()
            assert process.wait(PATIENCE_S) == 0, "SIGTERM did not end the service with 0"
        if "healthcheck" in self.commands:
            self.check_health(port, 1)

    def check_health(self, port, code):
        by_port = self.run("healthcheck", PORT=str(port))
        by_url = self.run("healthcheck", "--url", f"http://127.0.0.1:{port}/health")
        assert by_port.returncode == by_url.returncode == code, f"healthcheck: {by_port} {by_url}, expected {code}"

    def check_metrics(self, port, prometheus_port):
        text = get(port, "/metrics")[1]
        linted = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
        assert linted.returncode == 0, f"promtool check metrics: {linted.stderr}"
        files = [self.deploy / "prometheus/rules.yml", self.deploy / "grafana/dashboard.json"]
        used = set().union(*(dashboard.metrics(file.read_text()) for file in files))
        # A counter without a sample yet has its type alone, which OpenMetrics names without `_total`.
        types = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
        missing = used - types - {f"{name}_total" for name in types} - ONLY_WITH_MORE
        assert not missing, f"rules and dashboard ask for metrics that the service does not have: {sorted(missing)}"
        self.check_scrape(port, prometheus_port)

    def check_scrape(self, port, prometheus_port):
        folder = self.work / "prometheus"
        folder.mkdir()
        (folder / "rules.yml").write_text((self.deploy / "prometheus/rules.yml").read_text())
        text = (self.deploy / "prometheus/prometheus.yml").read_text()
        text = text.replace("127.0.0.1:8000", f"127.0.0.1:{port}").replace("15s", "1s")
        (folder / "prometheus.yml").write_text(text)
        command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        command.append(f"--web.listen-address=127.0.0.1:{prometheus_port}")
        with open(folder / "log", "w", encoding="utf-8") as log:
            process = subprocess.Popen(command, stderr=log)
        try:
            query = "/api/v1/query?query=up{job='tft-service'}".replace("{", "%7B").replace("}", "%7D")
            wait_for("a scrape by Prometheus", lambda: self.is_up(get(prometheus_port, query)), process)
        finally:
            process.terminate()
            process.wait(PATIENCE_S)

    @staticmethod
    def is_up(reply):
        status, text = reply
        result = json.loads(text)["data"]["result"] if status == 200 else []
        return any(series["value"][1] == "1" for series in result)


def main():
    program, deploy, work = (Path(argument).resolve() for argument in sys.argv[1:])
    service = Service(str(program), deploy, work)
    service.check_variables()
    service.check_refusal()
    service.check_configuration()
    service.check_rules()
    service.check_running()


if __name__ == "__main__":
    main()

"""
The connection form in a real browser: Airflow's own web server, Chromium, and the simulator behind the Test button.

Runs where Playwright and Chromium are installed. ``IINKED_SCREENSHOTS=docs/images`` keeps the pictures.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from airflow_provider_iinked.get_provider_info import CONN_FIELDS
from tests.servers import free_port

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CONN_ID = "iinked_sign_default"
PATIENCE_MS = 30_000


def wait_until_it_answers(url, process):
    until = time.monotonic() + 120
    while time.monotonic() < until:
        assert process.poll() is None, "Airflow's web server ended"
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError("Airflow's web server does not answer")


@pytest.fixture(scope="module")
def airflow_url(tmp_path_factory):
    home = tmp_path_factory.mktemp("airflow")
    env = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(home),
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
    }
    airflow = [sys.executable, "-W", "ignore", "-m", "airflow"]
    port = str(free_port())
    with (home / "log").open("w") as log:
        subprocess.run([*airflow, "db", "migrate"], env=env, stdout=log, stderr=log, check=True)
        command = [*airflow, "api-server", "--host", "127.0.0.1", "--port", port, "--workers", "1"]
        server = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        try:
            wait_until_it_answers(f"http://127.0.0.1:{port}/api/v2/version", server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(30)


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield chromium
        chromium.close()


class Connections:
    """The page of connections, as a person uses it."""

    def __init__(self, browser, url):
        self.url = url
        self.page = browser.new_page()
        self.page.set_default_timeout(PATIENCE_MS)

    def open(self, height=1250):
        self.page.set_viewport_size({"width": 1100, "height": height})
        self.page.goto(f"{self.url}/connections")
        self.page.get_by_role("button", name="Add Connection").first.wait_for()

    @property
    def dialog(self):
        return self.page.get_by_role("dialog")

    def add(self):
        self.open()
        self.page.get_by_role("button", name="Add Connection").first.click()
        self.dialog.locator("input[name='connection_id']").fill(CONN_ID)
        self.dialog.get_by_role("combobox").first.click()
        self.page.keyboard.type("iinked")
        self.page.get_by_role("option", name="iinked Sign").click()
        self.dialog.locator("input[name='host']").wait_for()

    def edit(self):
        self.open()
        self.page.get_by_role("button", name="Edit Connection").first.click()
        self.dialog.locator("input[name='host']").wait_for()

    def show_extra_fields(self):
        self.dialog.get_by_role("button", name="Extra Fields", exact=True).click()
        self.dialog.get_by_text("Data centre, used when Host is empty.", exact=False).wait_for()

    def choices(self, field):
        """The options of a drop-down; leaves it open."""
        before = self.dialog.get_by_role("combobox").count() - 2
        self.dialog.get_by_role("combobox").nth(before + list(CONN_FIELDS).index(field)).focus()
        self.page.keyboard.press("ArrowDown")
        return [option.inner_text() for option in self.page.get_by_role("option").all()]

    def save(self):
        self.dialog.get_by_role("button", name="Save").click()
        self.dialog.wait_for(state="hidden")

    def set(self, **fields):
        """Change the stored connection by Airflow's API."""
        mask = "&".join(f"update_mask={name}" for name in fields)
        body = {"connection_id": CONN_ID, "conn_type": "iinked_sign", **fields}
        request = urllib.request.Request(
            f"{self.url}/api/v2/connections/{CONN_ID}?{mask}",
            method="PATCH",
            headers={"Content-Type": "application/json"},
            data=json.dumps(body).encode(),
        )
        urllib.request.urlopen(request).close()

    def press_test(self):
        """What Airflow's server answers, and what the page shows."""
        self.open(height=520)
        with self.page.expect_response("**/connections/test") as answer:
            self.page.get_by_role("button", name="Test Connection").first.click()
        told = answer.value.json()
        self.page.get_by_text("Test Connection" + (" Success" if told["status"] else " Failed")).wait_for()
        return told["status"], told["message"], self.page.locator("body").inner_text()

    def picture(self, name):
        if folder := os.environ.get("IINKED_SCREENSHOTS"):
            self.page.wait_for_timeout(400)  # until what unfolds has unfolded
            self.page.screenshot(path=Path(folder) / f"{name}.png")


@pytest.fixture(scope="module")
def connections(browser, airflow_url):
    return Connections(browser, airflow_url)


@pytest.fixture
def stored(connections, iinked_simulator):
    """A connection to the simulator, made by hand in the form."""
    connections.add()
    connections.dialog.locator("input[name='host']").fill(iinked_simulator.api_base)
    connections.dialog.locator("input[name='password']").fill(iinked_simulator.api_key)
    connections.save()
    yield connections
    request = urllib.request.Request(f"{connections.url}/api/v2/connections/{CONN_ID}", method="DELETE")
    urllib.request.urlopen(request).close()


@pytest.fixture
def testable(stored, iinked_simulator):
    # The page of Airflow 3.3.1 and 3.3.2 sends port 0 for a connection without one, and its server then refuses to
    # test it (apache/airflow#73298). With a stored port it does.
    stored.set(port=int(iinked_simulator.api_base.rsplit(":", 1)[1].partition("/")[0]))
    return stored


def test_form_shows_labels_and_placeholders_and_hides_the_rest(connections):
    connections.add()
    words = connections.dialog.inner_text()
    assert "API Key" in words
    assert "Password" not in words
    assert not [name for name in ("Login", "Port", "Schema") if name in words]
    placeholder = connections.dialog.locator("input[name='host']").get_attribute("placeholder")
    assert placeholder.startswith("https://sign.syngrafii.com")
    assert connections.dialog.locator("input[name='password']").get_attribute("type") == "password"
    connections.picture("connection-form")


def test_form_describes_each_extra_field_and_preselects_nothing(connections):
    connections.add()
    connections.show_extra_fields()
    words = connections.dialog.inner_text()
    for meta in CONN_FIELDS.values():
        assert meta["label"] in words
        assert meta["description"] in words
    assert words.count("Select Value") == 2
    connections.picture("connection-form-extra")


@pytest.mark.parametrize("field", ["environment", "auth_type"])
def test_drop_down_offers_the_documented_choices(connections, field):
    connections.add()
    connections.show_extra_fields()
    assert connections.choices(field) == CONN_FIELDS[field]["schema"]["enum"]


def test_saved_fields_are_there_when_the_form_is_opened_again(stored):
    stored.edit()
    stored.show_extra_fields()
    stored.choices("environment")
    stored.page.get_by_role("option", name="sandbox-eu").click()
    stored.dialog.locator("input[name='element_timeout']").fill("45")
    stored.save()
    stored.edit()
    stored.show_extra_fields()
    assert "sandbox-eu" in stored.dialog.inner_text()
    assert stored.dialog.locator("input[name='element_timeout']").input_value() == "45"
    with urllib.request.urlopen(f"{stored.url}/api/v2/connections/{CONN_ID}") as answer:
        extra = json.loads(json.load(answer)["extra"])
    assert {name: value for name, value in extra.items() if value is not None} == {
        "environment": "sandbox-eu",
        "timeout": 45,
    }


def test_the_test_button_says_that_all_is_well(testable, iinked_simulator):
    ok, message, _ = testable.press_test()
    testable.picture("connection-test-success")
    assert (ok, message) == (True, f"Connected to {iinked_simulator.api_base}; the key is accepted.")


FAILURES = {
    "key-refused": ({"password": "wrong-key-0000"}, "Key refused:"),
    "other-environment": (
        {"host": "https://sign.syngrafii.com", "extra": '{"environment": "sandbox-us"}'},
        "Connection not usable:",
    ),
    "plain-http": ({"host": "http://sign.example.com"}, "Connection not usable:"),
    "no-host": ({"host": ""}, "Connection not usable:"),
    "no-such-host": ({"host": "https://sign.invalid"}, "Unknown host:"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_the_test_button_says_what_is_wrong_with_the_connection(testable, case):
    fields, words = FAILURES[case]
    testable.set(**fields)
    ok, message, shown = testable.press_test()
    if case == "other-environment":
        testable.picture("connection-test-failure")
    assert not ok
    assert message.startswith(words)
    assert words in shown


FAULTS = {
    "wrong-path": ({"kind": "status", "status": 404, "body": "<h1>Not found</h1>"}, "Wrong path:"),
    "web-page": ({"kind": "html"}, "Not the iinked Sign API:"),
    "too-many-requests": ({"kind": "status", "status": 429, "headers": {"Retry-After": "9"}}, "Too many requests:"),
    "server-error": ({"kind": "status", "status": 500}, "Failed:"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_the_test_button_says_what_is_wrong_with_the_answer(testable, iinked_simulator, case):
    from airflow_provider_iinked.simulator import Fault

    fault, words = FAULTS[case]
    iinked_simulator.faults.add(Fault(call="packages", on="always", **fault))
    ok, message, shown = testable.press_test()
    assert not ok
    assert message.startswith(words)
    assert words in shown


def test_the_test_button_says_that_nothing_listens(testable, iinked_simulator):
    iinked_simulator.stop()
    ok, message, shown = testable.press_test()
    assert not ok
    assert message.startswith("Not reachable:")
    assert "Not reachable:" in shown

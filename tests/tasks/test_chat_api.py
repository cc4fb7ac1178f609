"""An API that is asked chats: what may pass is asked again, what may not ends it; the key stays inside."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.simulators.chat import Chat, self_signed, serving_chat
from tests.simulators.engine_modules import load_engine

api = load_engine("chat_api")
KEY = "sk-0123456789abcdef"
HELLO = {"model": "big-1", "messages": [{"role": "user", "content": "Hello"}]}


def asking(url: str, key: str = KEY, **how: float) -> Any:
    """A client that does not wait for long."""
    host, port = url.split("/")[2].split(":")
    quick = {"timeout": 5.0, "pause": 0.001, **how}
    return api.ChatApi(f"{url}/chat/completions", [(host, int(port))], key, **quick)


def refused(chat: Chat, key: str = KEY, **how: float) -> Any:
    """The error that it ends with, which never shows the key."""
    with serving_chat(chat) as url, pytest.raises(Exception, match="127") as caught:
        asking(url, key, **how).answer(HELLO)
    error = caught.value
    assert KEY not in f"{error.what} {error.why} {error.next_step}"
    return error


def test_a_chat_is_answered_by_whoever_says_so() -> None:
    """With the key, under the name that the API gives; who declines has answered nothing."""
    chat = Chat(answer=lambda messages: messages[0]["content"] + KEY, key=KEY, name="big-1-0815")
    with serving_chat(chat) as url:
        client = asking(url)
        assert client.answer(HELLO) == "Hello[redacted]"
        chat.answer = lambda _messages: None
        assert client.answer(HELLO) == ""
    assert client.models == {"big-1-0815"}
    assert chat.asked[0]["path"] == "/v1/chat/completions"


@pytest.mark.parametrize("status", [429, 500, 503, 529])
def test_what_may_pass_is_asked_again(status: int) -> None:
    """After a pause."""
    chat = Chat(faults=[(status, {}), (status, {})])
    with serving_chat(chat) as url:
        assert asking(url).answer(HELLO) == "yes"
    assert len(chat.asked) == 3


def test_it_is_left_alone_for_as_long_as_it_wants() -> None:
    """As its header says, if that is a number."""
    with serving_chat(Chat(faults=[(429, {"Retry-After": "\u00b2"}), (429, {"Retry-After": "1"})])) as url:
        began = time.monotonic()
        assert asking(url).answer(HELLO) == "yes"
        assert time.monotonic() - began >= 1


def test_it_is_not_asked_for_ever() -> None:
    """Seven times; or for as long as there is patience."""
    limited = Chat(faults=[(429, {})] * 20)
    assert "said 429" in refused(limited).what
    assert len(limited.asked) == api.ATTEMPTS == 7
    busy = Chat(faults=[(503, {"Retry-After": "3600"})] * 20)
    assert refused(busy, patience=1.0).failure == "infra"
    assert len(busy.asked) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_no_is_a_no(status: int) -> None:
    """Asked once, with what the API said."""
    chat = Chat(faults=[(status, {})])
    error = refused(chat)
    assert (error.failure, error.why) == ("config", "no, Bearer [redacted]")
    assert len(chat.asked) == 1


def test_a_wrong_key_is_not_shown() -> None:
    """Not even where the API repeats it."""
    error = refused(Chat(key="another-one"))
    assert error.why == "Incorrect API key provided: Bearer [redacted]"
    assert "check the key" in error.next_step


def test_a_redirect_is_not_followed() -> None:
    """Neither the key nor a prompt goes elsewhere, be it the same host."""
    chat = Chat(faults=[(307, {"Location": "https://elsewhere.example/v1"})])
    assert "https://elsewhere.example/v1" in refused(chat).why
    assert len(chat.asked) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>hello</html>",
        b"[]",
        b'{"choices": []}',
        b'{"choices": [{"message": 1}]}',
        b"[" * 9999,
        b'{"choices": [{"message": {"content": 5}}]}',
        b'{"choices": [{"message": {"content": 0}}]}',
        b'{"choices": [{"message": {"content": [{"type": "text", "text": "yes"}]}}]}',
        b'{"model": 5, "choices": [{"message": {"content": "yes"}}]}',
    ],
)
def test_what_is_no_completion_is_no_answer(body: bytes) -> None:
    """With a key or without: it would count as a wrong answer of a model that was not there."""
    assert "gave no chat completion" in refused(Chat(body=body)).what
    assert "gave no chat completion" in refused(Chat(body=body), key="").what


def test_half_a_character_is_replaced() -> None:
    """No file could hold it, and neither the answer nor the name may end a release."""
    chat = Chat(answer=lambda _messages: "yes\ud800", name="big\ud800")
    with serving_chat(chat) as url:
        client = asking(url)
        assert client.answer(HELLO) == "yes?"
    assert client.models == {"big?"}


def test_silence_ends() -> None:
    """After the time for an answer, and the patience for all attempts."""
    assert refused(Chat(hangs=True), timeout=0.05, patience=0.2).why == "the time is up"


def test_one_no_ends_the_waiting_of_all() -> None:
    """A request that waits to be asked again is not, once another was refused for good."""
    chat = Chat(faults=[(429, {"Retry-After": "30"}), (401, {})])
    errors: list[Exception] = []

    def ask(client: Any) -> None:
        try:
            client.answer(HELLO)
        except Exception as error:
            errors.append(error)

    began = time.monotonic()
    with serving_chat(chat) as url:
        client = asking(url)
        waiting = threading.Thread(target=ask, args=(client,))
        waiting.start()
        while not chat.asked:
            time.sleep(0.01)
        time.sleep(0.05)
        ask(client)
        waiting.join(10)
    assert len(errors) == 2
    assert time.monotonic() - began < 10


def test_nobody_there_is_told() -> None:
    """As what the network says."""
    with serving_chat(Chat()) as url:
        pass
    with pytest.raises(Exception, match="did not answer"):
        asking(url).answer(HELLO)


def test_a_certificate_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not asked for a second time; one's own authority can be named."""
    certificate = self_signed(tmp_path)
    chat = Chat()
    with serving_chat(chat, certificate) as url:
        with pytest.raises(Exception, match="certificate that is not trusted") as caught:
            asking(url).answer(HELLO)
        assert (caught.value.failure, chat.asked) == ("config", [])
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert asking(url).answer(HELLO) == "yes"


def test_the_key_leaves_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything else runs that could read it."""
    monkeypatch.setenv(api.KEY_VARIABLE, f"{KEY}\n")
    assert api.take_key() == KEY
    assert api.take_key() == ""


def test_an_address_of_ipv6_is_asked_by_its_name() -> None:
    """Without a port written out, its last group is none."""
    client = api.ChatApi("http://[::1]/v1/chat/completions", [("127.0.0.1", 9)], None, timeout=1.0, pause=0.0)
    with pytest.raises(Exception, match="did not answer") as caught:
        client.answer(HELLO)
    assert "refused" in caught.value.why

"""A service as a user's is: it calls Bedrock with plain boto3 and the model id it has always used.

What Crossfade asks of it are the three lines that begin with `crossfade.`; the rest is its own business: it tells the
language of texts, and since its texts are labelled it can say how often the answer was right. Beside that it counts
what it did, for the demo's report. Run by the demo: `python -m crossfade.demo.service SETTINGS`, JSON.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

import crossfade
from crossfade.demo.counted import Counted, Settings
from crossfade.sandbox.texts import labelled_texts

THREADS = 8
USERS = 10_000_000
"""A new user for nearly every call: then calls are split as independently as users are."""
FIRST_SNAPSHOT_SECONDS = 30.0
FLUSH_PATIENCE_SECONDS = 15.0


class Service:
    """Asks for the language of one text after another, from several threads."""

    def __init__(self, settings: Settings) -> None:
        self.counted = Counted()
        self._settings = settings
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._texts = labelled_texts(settings.seed)
        self._random = random.Random(settings.seed)
        crossfade.install(wait=FIRST_SNAPSHOT_SECONDS)
        self._bedrock = boto3.client("bedrock-runtime", config=Config(max_pool_connections=THREADS))

    def run(self) -> None:
        """Works until `stop`, then sees its observations and scores delivered."""
        workers = [threading.Thread(target=self._work, name=f"worker-{n}") for n in range(THREADS)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        crossfade.flush(FLUSH_PATIENCE_SECONDS)

    def stop(self) -> None:
        self._stopping.set()

    def _work(self) -> None:
        pause = THREADS / self._settings.rate
        with self._lock:
            due = time.monotonic() + self._random.random() * pause
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            with self._lock:
                text, label = self._random.choice(self._texts)
                user, kind = self._random.randrange(USERS), self._random.random()
            self._call(text, label, f"user-{user}", kind)
            due = max(due + pause, time.monotonic())

    def _call(self, text: str, label: str, user: str, kind: float) -> None:
        with self._lock:
            self.counted.calls += 1
        try:
            with crossfade.context(key=user):
                if kind < 0.5:
                    answer, said = self._converse(text)
                elif kind < 0.75:
                    answer, said = self._converse_stream(text)
                else:
                    answer, said = self._invoke_model(text)
        except Exception as error:
            with self._lock:
                self.counted.errors[f"{type(error).__name__}: {error}"[:300]] += 1
            return
        told = answer["ResponseMetadata"]["Crossfade"]
        scored = not told["busy"] and crossfade.score(answer, "accuracy", 1.0 if said == label else 0.0)
        with self._lock:
            self.counted.scores += scored
            self.counted.served[f"{told['variant']} by {told['model'] or 'busy answer'}"] += 1
            if told["busy"]:
                self.counted.busy_at.append(time.time())

    def _converse(self, text: str) -> tuple[Any, str]:
        answer = self._bedrock.converse(
            modelId=self._settings.model_id,
            messages=[{"role": "user", "content": [{"text": text}]}],
            inferenceConfig={"maxTokens": 16},
        )
        return answer, answer["output"]["message"]["content"][0]["text"]

    def _converse_stream(self, text: str) -> tuple[Any, str]:
        answer = self._bedrock.converse_stream(
            modelId=self._settings.model_id,
            messages=[{"role": "user", "content": [{"text": text}]}],
            inferenceConfig={"maxTokens": 16},
        )
        deltas = [event["contentBlockDelta"]["delta"] for event in answer["stream"] if "contentBlockDelta" in event]
        return answer, "".join(delta["text"] for delta in deltas)

    def _invoke_model(self, text: str) -> tuple[Any, str]:
        body = {
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 16,
            "messages": [{"role": "user", "content": text}],
        }
        answer = self._bedrock.invoke_model(modelId=self._settings.model_id, body=json.dumps(body))
        return answer, json.loads(answer["body"].read())["content"][0]["text"]


def main(text: str) -> None:
    settings = Settings(**json.loads(text))
    service = Service(settings)
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: service.stop())
    service.run()
    path = Path(settings.report)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(vars(service.counted)))
    os.replace(part, path)


if __name__ == "__main__":
    main(sys.argv[1])

"""A completion, whole and streamed, with OpenAI's SDK. Start Loom first (make run), then:

    pip install openai
    set -a; . .loom/dev.env; set +a
    python examples/python/chat.py
"""

import os

from openai import OpenAI

client = OpenAI(base_url=os.environ["LOOM_BASE_URL"], api_key=os.environ["LOOM_API_KEY"])
messages = [{"role": "user", "content": "Hello, Loom!"}]

answer = client.chat.completions.create(model="loom-demo", messages=messages)
print(answer.choices[0].message.content)
print(answer.usage)

for chunk in client.chat.completions.create(model="loom-demo", messages=messages, stream=True):
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
print()

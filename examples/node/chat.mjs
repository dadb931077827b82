// A completion, whole and streamed, with OpenAI's SDK. Start Loom first (make run), then:
//
//   npm install openai
//   set -a; . .loom/dev.env; set +a
//   node examples/node/chat.mjs
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.env.LOOM_BASE_URL, apiKey: process.env.LOOM_API_KEY });
const messages = [{ role: "user", content: "Hello, Loom!" }];

const answer = await client.chat.completions.create({ model: "loom-demo", messages });
console.log(answer.choices[0].message.content);
console.log(answer.usage);

const stream = await client.chat.completions.create({ model: "loom-demo", messages, stream: true });
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
console.log();

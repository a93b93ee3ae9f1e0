// Asks Bedrock as a service in JavaScript does: `node ask.mjs WAY MODEL TEXT` writes the answer's text.
import { BedrockRuntimeClient, ConverseCommand, ConverseStreamCommand } from "@aws-sdk/client-bedrock-runtime";

const [way, modelId, text] = process.argv.slice(2);
const client = new BedrockRuntimeClient({ maxAttempts: 1 });
const user = (block) => ({ role: "user", content: [block] });
const requestMetadata = { "crossfade-key": "ann" };
const tool = { name: "weather", inputSchema: { json: { type: "object", properties: { city: { type: "string" } } } } };

async function stream() {
  const answer = await client.send(new ConverseStreamCommand({ modelId, messages: [user({ text })], requestMetadata }));
  let said = "";
  for await (const event of answer.stream) said += event.contentBlockDelta?.delta.text ?? "";
  return said;
}

async function callTool() {
  const toolConfig = { tools: [{ toolSpec: tool }] };
  const messages = [user({ text })];
  const asked = await client.send(new ConverseCommand({ modelId, messages, toolConfig, requestMetadata }));
  const message = asked.output.message;
  const { toolUseId, input } = message.content[0].toolUse;
  messages.push(message, user({ toolResult: { toolUseId, content: [{ text: `rain in ${input.city}` }] } }));
  const answer = await client.send(new ConverseCommand({ modelId, messages, toolConfig, requestMetadata }));
  return answer.output.message.content[0].text;
}

async function answer() {
  const said = await client.send(new ConverseCommand({ modelId, messages: [user({ text })], requestMetadata }));
  return said.output.message.content[0].text;
}

process.stdout.write(await { answer, stream, tool: callTool }[way]());

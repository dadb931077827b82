import type { TraceDetail } from "../api/client";
import type { Form } from "../lib/bodies";
import { bodyFile } from "../lib/curl";
import { bytes } from "../lib/format";
import { CopyButton } from "../ui/copy";
import { Icon } from "../ui/icons";
import { Empty } from "../ui/states";
import { ContentState } from "./content-state";
import { save, type Content } from "./payload";
import { Text } from "./text";

interface Props {
  which: "request" | "response";
  trace: TraceDetail;
  content: Content;
}

const words: Record<Form, string> = {
  json: "",
  broken: "This is not valid JSON, so it is shown as it came.",
  stream: "This was recorded as a stream of events, shown as it came.",
  text: "This is no JSON, so it is shown as it came.",
  binary: "This body is not text. Download it to look at it.",
};

/** BodyTab is one body as it was recorded. */
export function BodyTab({ which, trace, content }: Props) {
  if (content.state !== "ready") return <ContentState trace={trace} content={content} />;
  const body = content[which];
  const { source } = content;
  if (!body) {
    return (
      <Empty icon="eye" title={`There is no ${which} body`}>
        {which === "response" && <p>The trace ended before an answer came.</p>}
      </Empty>
    );
  }
  return (
    <div className="body-tab">
      <div className="body-head">
        <span className="dim">{bytes(body.bytes)}</span>
        <span className="grow" />
        {body.text && <CopyButton text={() => source.raw(which)} label="Copy" />}
        <button className="button" onClick={() => void source.blob(which).then((b) => save(b, body.text ? `${trace.id}-${which}.json` : `${trace.id}-${which}.bin`))}>
          <Icon name="download" size={14} /> Download
        </button>
      </div>
      {body.truncated && <p className="caveat">The recording ends here: the rest of this body was over the gateway's capture limit. The wire had all of it.</p>}
      {words[body.form] && !(body.truncated && body.form === "broken") && <p className="caveat">{words[body.form]}</p>}
      {body.text && <Text text={body.text} source={source} className="json tall" json />}
    </div>
  );
}

/** saveRequest writes the file that a long cURL command reads. */
export async function saveRequest(content: Extract<Content, { state: "ready" }>) {
  save(await content.source.blob("request"), bodyFile);
}

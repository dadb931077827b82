import { useEffect, useState } from "react";
import type { TraceDetail } from "../api/client";
import { bytes } from "../lib/format";
import { CopyButton } from "../ui/copy";
import { Icon } from "../ui/icons";
import { Empty } from "../ui/states";
import { ContentState } from "./content-state";
import type { Bodies, Content } from "./payload";
import { Json } from "./text";

interface Props {
  which: "request" | "response";
  trace: TraceDetail;
  content: Bodies;
}

/** BodyTab is one body as it was recorded. */
export function BodyTab({ which, trace, content }: Props) {
  if (content.state !== "ready") return <ContentState trace={trace} content={content} />;
  const body = content[which];
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
        <span className="dim">
          {bytes(body.bytes)}
          {body.truncated && " recorded, the rest was over the capture limit"}
        </span>
        <span className="grow" />
        {body.text !== null && <CopyButton text={body.text} label="Copy" />}
        <Download body={body} name={`${trace.id}-${which}`} />
      </div>
      {body.text === null ? <p className="hint">This body is not text. Download it to look at it.</p> : <Json text={body.text} tall />}
    </div>
  );
}

function Download({ body, name }: { body: Content; name: string }) {
  const [url, setURL] = useState<string>();
  useEffect(() => {
    const made = URL.createObjectURL(blob(body));
    setURL(made);
    return () => URL.revokeObjectURL(made);
  }, [body]);
  return (
    <a className="button" href={url} download={name + (body.text === null ? ".bin" : ".json")}>
      <Icon name="download" size={14} /> Download
    </a>
  );
}

function blob(body: Content): Blob {
  if (body.text !== null) return new Blob([body.text], { type: "application/octet-stream" });
  const raw = Uint8Array.from(atob(body.base64 ?? ""), (c) => c.charCodeAt(0));
  return new Blob([raw], { type: "application/octet-stream" });
}

import { useEffect, useRef, useState } from "react";
import type { ShownPart } from "../lib/bodies";
import { bytes } from "../lib/format";
import { Icon } from "../ui/icons";
import { save, type Source } from "./payload";

type Media = Extract<ShownPart, { kind: "media" }>;

/** MediaChip says what it is and how large; it is decoded on click, and what lies elsewhere is never fetched. */
export function MediaChip({ part: p, source }: { part: Media; source: Source }) {
  const [blob, setBlob] = useState<Blob>();
  const [failed, setFailed] = useState(false);
  const { ref } = p;
  if (ref === undefined) {
    return (
      <span className="media" title={p.url}>
        <Icon name="link" size={14} /> {p.label} at <span className="ellipsis mono">{p.url || "an address that was not given"}</span>
      </span>
    );
  }
  const face = `${p.label}, ${bytes(p.bytes)}`;
  if (blob && p.type.startsWith("image/")) return <Picture blob={blob} label={face} />;
  if (blob && p.type.startsWith("audio/")) return <Sound blob={blob} label={face} />;
  const does = p.type.startsWith("image/") ? "show" : p.type.startsWith("audio/") ? "play" : "download";
  const load = async () => {
    try {
      const got = await source.picture(ref);
      if (does === "download") save(got, p.label);
      else setBlob(got);
    } catch {
      setFailed(true);
    }
  };
  return (
    <button className="media" onClick={() => void load()}>
      <Icon name={does === "show" ? "image" : does} size={14} />
      {face}
      <span className="dim">{failed ? "could not be loaded" : does}</span>
    </button>
  );
}

/** Picture paints onto a canvas: the page's policy lets no data: or blob: address be an image. */
function Picture({ blob, label }: { blob: Blob; label: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [broken, setBroken] = useState(false);
  useEffect(() => {
    let gone = false;
    void createImageBitmap(blob).then(
      (image) => {
        const c = canvas.current;
        if (!gone && c) {
          c.width = image.width;
          c.height = image.height;
          c.getContext("2d")?.drawImage(image, 0, 0);
        }
        image.close();
      },
      () => !gone && setBroken(true),
    );
    return () => void (gone = true);
  }, [blob]);
  if (broken) {
    return (
      <button className="media" onClick={() => save(blob, "image")}>
        <Icon name="download" size={14} /> {label} <span className="dim">does not open here, download</span>
      </button>
    );
  }
  return <canvas ref={canvas} className="picture" role="img" aria-label={label} />;
}

/** Sound plays by way of the audio graph, for the same reason. */
function Sound({ blob, label }: { blob: Blob; label: string }) {
  const [state, setState] = useState<"still" | "playing" | "broken">("still");
  const playing = useRef<AudioContext>(undefined);
  const stop = () => {
    void playing.current?.close();
    playing.current = undefined;
  };
  useEffect(() => stop, []);
  const play = async () => {
    if (playing.current) {
      stop();
      return setState("still");
    }
    const context = (playing.current = new AudioContext());
    try {
      const sound = context.createBufferSource();
      sound.buffer = await context.decodeAudioData(await blob.arrayBuffer());
      sound.connect(context.destination);
      sound.onended = () => {
        stop();
        setState("still");
      };
      sound.start();
      setState("playing");
    } catch {
      stop();
      setState("broken");
    }
  };
  return (
    <button className="media" onClick={() => (state === "broken" ? save(blob, "audio") : void play())}>
      <Icon name={state === "playing" ? "close" : state === "broken" ? "download" : "play"} size={14} />
      {label}
      <span className="dim">{state === "playing" ? "stop" : state === "broken" ? "does not play here, download" : "play"}</span>
    </button>
  );
}

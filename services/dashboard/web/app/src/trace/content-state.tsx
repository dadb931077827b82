import { Skeleton } from "@mantine/core";
import type { TraceDetail } from "../api/client";
import { Empty, Failure } from "../ui/states";
import type { Missing } from "./payload";

/** ContentState stands in for bodies that are not there: why, and what to do. */
export function ContentState({ trace, content }: { trace: TraceDetail; content: Missing }) {
  switch (content.state) {
    case "loading":
      return (
        <div className="trace-loading" aria-busy="true">
          <Skeleton height={14} width="30%" />
          <Skeleton height={54} />
          <Skeleton height={14} width="30%" />
          <Skeleton height={90} />
        </div>
      );
    case "shredded":
      return (
        <Empty icon="lock" title="The bodies were shredded">
          <p>The key they were sealed with was destroyed for good. Metadata and cost are left.</p>
        </Empty>
      );
    case "not_recorded":
      return (
        <Empty icon="eye" title="The bodies were not recorded">
          <p>
            {trace.content_mode === "full"
              ? "This request ended before there was a body to record."
              : `When this request came, the tenant recorded ${trace.content_mode === "none" ? "no content" : "metadata only"}.`}
          </p>
          {trace.content_mode !== "full" && <p>An administrator can set the tenant's content mode to “full” for requests to come.</p>}
        </Empty>
      );
    case "expired":
      return (
        <Empty icon="traces" title="This trace is gone">
          <p>Its tenant's retention ended while it was on screen. What is shown above is all that is left of it; cost and statistics stay.</p>
        </Empty>
      );
    case "no_right":
      return (
        <Empty icon="lock" title="Your key may not read bodies">
          <p>
            They are encrypted, and opening them needs a key with the scope <code>traces:decrypt</code>. Log in with such a key, or
            ask an administrator for one.
          </p>
        </Empty>
      );
    case "unreadable":
      return (
        <Empty icon="alert" title="The bodies cannot be decrypted">
          <p>{content.message}</p>
          <p>The key they were sealed with is probably missing from this dashboard's key ring.</p>
          <button className="link" onClick={content.retry}>
            Try again
          </button>
        </Empty>
      );
    case "failed":
      return <Failure what="The bodies could not be loaded." error={content.error} retry={content.retry} />;
  }
}

// Hides card numbers and e-mail addresses in responses, before a client sees them.
//
// A response body arrives in pieces, and a number may be cut anywhere. So each
// piece is held until the body is whole; only then it is read and replaced.

export * from "@solo-io/proxy-runtime/proxy"; // what the host calls
import {
  Context,
  FilterDataStatusValues,
  FilterHeadersStatusValues,
  FilterTrailersStatusValues,
  LogLevelValues,
  RootContext,
  WasmResultValues,
  log,
  registerRootContext,
  stream_context,
} from "@solo-io/proxy-runtime";
import { BufferTypeValues, get_buffer_bytes } from "@solo-io/proxy-runtime/runtime";
import { redactCards, redactEmails } from "./redact";

// The SDK forgot this one of the host's functions.
// @ts-ignore: decorator
@external("env", "proxy_set_buffer_bytes")
declare function proxy_set_buffer_bytes(buffer: u32, start: u32, length: u32, data: usize, size: usize): u32;

// One for each plugin and thread.
class Root extends RootContext {
  cards: bool = false;
  emails: bool = false;

  createContext(context_id: u32): Context {
    return new Redact(context_id, this);
  }

  // The configuration: "cards", "emails" or both, with spaces between. Empty is
  // "cards". False refuses it, and what ran before goes on running.
  //
  // Not getConfiguration(): the SDK fills that one by a call with wrong pointers.
  onConfigure(size: u32): bool {
    let bytes = get_buffer_bytes(BufferTypeValues.PluginConfiguration, 0, size);
    let words = String.UTF8.decode(bytes).split(" ");
    for (let i = 0; i < words.length; i++) {
      if (words[i] == "cards") {
        this.cards = true;
      } else if (words[i] == "emails") {
        this.emails = true;
      } else if (words[i] != "") {
        log(LogLevelValues.error, "redact: the configuration must be cards, emails, or both");
        return false;
      }
    }
    if (!this.cards && !this.emails) this.cards = true;
    return true;
  }
}

// One for each request.
class Redact extends Context {
  root: Root;
  readable: bool = false; // whether the response is text that can be searched
  held: u32 = 0;          // bytes of it that the host holds

  constructor(context_id: u32, root: Root) {
    super(context_id, root);
    this.root = root;
  }

  onRequestHeaders(count: u32, end: bool): FilterHeadersStatusValues {
    // A compressed body cannot be searched: ask for one that is not.
    stream_context.headers.request.remove("accept-encoding");
    return FilterHeadersStatusValues.Continue;
  }

  onResponseHeaders(count: u32, end: bool): FilterHeadersStatusValues {
    let headers = stream_context.headers.response;
    let type = headers.get("content-type");
    let encoding = headers.get("content-encoding");
    this.readable = !end && (encoding == "" || encoding == "identity") &&
      (type.startsWith("text/") || type.startsWith("application/json"));
    if (this.readable) {
      // The length is known only after the headers left; without this header the
      // proxy sends the body in chunks.
      headers.remove("content-length");
    }
    return FilterHeadersStatusValues.Continue;
  }

  onResponseBody(size: usize, end: bool): FilterDataStatusValues {
    if (!this.readable) return FilterDataStatusValues.Continue;
    this.held = size as u32; // of all that is held, not of this piece
    if (!end) return FilterDataStatusValues.StopIterationAndBuffer;
    this.redact();
    return FilterDataStatusValues.Continue;
  }

  // With trailers, no piece of the body is the last: they are the end.
  onResponseTrailers(count: u32): FilterTrailersStatusValues {
    if (this.readable) this.redact();
    return FilterTrailersStatusValues.Continue;
  }

  redact(): void {
    if (this.held == 0) return;
    let body = Uint8Array.wrap(get_buffer_bytes(BufferTypeValues.HttpResponseBody, 0, this.held));
    let changed = body;
    if (this.root.cards) changed = redactCards(changed);
    if (this.root.emails) changed = redactEmails(changed);
    let buffer = changed.buffer;
    let result = proxy_set_buffer_bytes(
      BufferTypeValues.HttpResponseBody, 0, this.held, changetype<usize>(buffer), buffer.byteLength);
    if (result != WasmResultValues.Ok) {
      // Rather no answer than one with the numbers in it.
      throw new Error("redact: cannot replace the body: " + result.toString());
    }
  }
}

// "" is the root id of a document that names none.
registerRootContext((context_id: u32) => { return new Root(context_id); }, "");

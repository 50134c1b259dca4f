// One module for many tests, as everything-rust is: the request header `x-test`
// says what to do, as words with commas between.
//
// - `reply@PHASE`       a local reply: 418, `x-reply: PHASE`; PHASE is one of
//                       request-headers, request-body, request-trailers,
//                       response-headers, response-body, response-trailers
// - `grow-request`      appends `[N]` to each piece of the request, N its size
// - `buffer-request`    holds the request body and makes it upper case
// - `replace-response`  holds the response body, puts `replaced N bytes\n` in its place
// - `stream-response`   puts `<N>` in front of each piece of the response
// - `call`              asks the service of the configuration, and sets the request
//                       header `x-called` to STATUS:BODYSIZE
// - `wait`              waits for the next tick, and sets the request header `x-waited`
// - `shared`            counts in shared data; response header `x-shared`
// - `queue`             puts the path into a queue; response header `x-queued` says how
//                       many were taken out before
// - `props`             response headers `x-prop-method`, `x-prop-protocol`, `x-prop-set`
// - `metrics`           counts in `everything_as_requests`, gauge `everything_as_open`,
//                       histogram `everything_as_path_bytes`
//
// The configuration is the name of a service. With the root id `tcp` it is a TCP
// filter: it holds what the client sends until a line is whole, makes it upper
// case, and puts `> ` in front of each answer.

export * from "@solo-io/proxy-runtime/proxy";
import {
  BaseContext,
  Context,
  Counter,
  FilterDataStatusValues,
  FilterHeadersStatusValues,
  FilterStatusValues,
  FilterTrailersStatusValues,
  Gauge,
  GrpcStatusValues,
  HeaderPair,
  Histogram,
  RootContext,
  WasmResultValues,
  continue_request,
  registerRootContext,
  send_local_response,
  stream_context,
} from "@solo-io/proxy-runtime";
import {
  BufferTypeValues,
  enqueue_shared_queue,
  getContext,
  get_buffer_bytes,
  get_property,
  set_property,
  set_tick_period_milliseconds,
} from "@solo-io/proxy-runtime/runtime";
import { free } from "@solo-io/proxy-runtime/malloc";

// What the SDK forgot, or hands wrong pointers to.
// @ts-ignore: decorator
@external("env", "proxy_set_buffer_bytes")
declare function proxy_set_buffer_bytes(buffer: u32, start: u32, length: u32, data: usize, size: usize): u32;
// @ts-ignore: decorator
@external("env", "proxy_register_shared_queue")
declare function proxy_register_shared_queue(name: usize, size: usize, token: usize): u32;
// @ts-ignore: decorator
@external("env", "proxy_dequeue_shared_queue")
declare function proxy_dequeue_shared_queue(token: u32, value: usize, value_size: usize): u32;
// @ts-ignore: decorator
@external("env", "proxy_get_shared_data")
declare function proxy_get_shared_data(key: usize, size: usize, value: usize, value_size: usize, cas: usize): u32;
// @ts-ignore: decorator
@external("env", "proxy_set_shared_data")
declare function proxy_set_shared_data(key: usize, size: usize, value: usize, value_size: usize, cas: u32): u32;

// Where the host writes what it answers.
class Answer {
  data: usize = 0;
  size: usize = 0;
  number: u32 = 0;
}
const answer = new Answer();
const data = changetype<usize>(answer) + offsetof<Answer>("data");
const size_ = changetype<usize>(answer) + offsetof<Answer>("size");
const number = changetype<usize>(answer) + offsetof<Answer>("number");

function check(result: u32, what: string): void {
  if (result != 0) throw new Error(what + ": " + result.toString());
}

function setBytes(buffer: u32, start: u32, length: u32, text: ArrayBuffer): void {
  check(proxy_set_buffer_bytes(buffer, start, length, changetype<usize>(text), text.byteLength), "set_buffer_bytes");
}

function upper(buffer: u32, size: u32): void {
  let bytes = Uint8Array.wrap(get_buffer_bytes(buffer, 0, size));
  for (let i = 0; i < (size as i32); i++) {
    if (bytes[i] >= 0x61 && bytes[i] <= 0x7a) bytes[i] -= 32;
  }
  check(proxy_set_buffer_bytes(buffer, 0, size, changetype<usize>(bytes.buffer), size), "set_buffer_bytes");
}

// shared returns a number in shared data, to which it adds what is given.
function shared(key: string, add: u32): u32 {
  let name = String.UTF8.encode(key);
  while (true) {
    let count: u32 = 0;
    let cas: u32 = 0;
    if (proxy_get_shared_data(changetype<usize>(name), name.byteLength, data, size_, number) == 0) {
      count = load<u32>(answer.data);
      free(answer.data);
      cas = answer.number;
    }
    if (add == 0) return count;
    answer.number = count + add;
    let result = proxy_set_shared_data(changetype<usize>(name), name.byteLength, number, 4, cas);
    if (result == 0) return count + add;
    if (result != WasmResultValues.CasMismatch) check(result, "set_shared_data");
  }
}

class Root extends RootContext {
  service: string = "";
  queue: u32 = 0;
  waiting: u32[] = []; // streams that the next tick resumes
  requests: Counter = new Counter("everything_as_requests");
  open: Gauge = new Gauge("everything_as_open");
  sizes: Histogram = new Histogram("everything_as_path_bytes");

  createContext(id: u32): Context {
    return new Everything(id, this);
  }

  onConfigure(size: u32): bool {
    if (size > 0) this.service = String.UTF8.decode(get_buffer_bytes(BufferTypeValues.PluginConfiguration, 0, size));
    let name = String.UTF8.encode("everything-as");
    check(proxy_register_shared_queue(changetype<usize>(name), name.byteLength, number), "register_shared_queue");
    this.queue = answer.number;
    set_tick_period_milliseconds(20);
    return true;
  }

  onTick(): void {
    let waiting = this.waiting;
    this.waiting = [];
    for (let i = 0; i < waiting.length; i++) {
      let stream = streams.get(waiting[i]);
      stream.setEffectiveContext();
      stream_context.headers.request.replace("x-waited", "true");
      continue_request();
    }
  }

  onQueueReady(token: u32): void {
    while (proxy_dequeue_shared_queue(token, data, size_) == 0) {
      free(answer.data);
      shared("taken", 1);
    }
  }
}

// Streams that wait, which leave when they end.
const streams = new Map<u32, Everything>();

class Everything extends Context {
  root: Root;
  words: string[] = [];
  replied: bool = false;
  counted: bool = false;
  method: string = "";
  protocol: string = "";

  constructor(id: u32, root: Root) {
    super(id, root);
    this.root = root;
  }

  has(word: string): bool {
    return this.words.indexOf(word) >= 0;
  }

  // reply sends a local reply where one is asked for at a phase.
  reply(phase: string): bool {
    if (this.replied || !this.has("reply@" + phase)) return false;
    this.replied = true; // it passes the response callbacks of this filter
    let headers = [new HeaderPair(String.UTF8.encode("x-reply"), String.UTF8.encode(phase))];
    send_local_response(418, "", String.UTF8.encode("reply from " + phase + "\n"), headers, GrpcStatusValues.InvalidCode);
    return true;
  }

  onRequestHeaders(count: u32, end: bool): FilterHeadersStatusValues {
    let headers = stream_context.headers.request;
    this.words = headers.get("x-test").split(",");
    if (this.reply("request-headers")) return FilterHeadersStatusValues.StopIteration;
    if (this.has("grow-request") || this.has("buffer-request")) headers.remove("content-length");
    if (this.has("props")) {
      this.method = String.UTF8.decode(get_property("request\0method"));
      this.protocol = String.UTF8.decode(get_property("request\0protocol"));
      set_property("everything", String.UTF8.encode("kept"));
    }
    if (this.has("metrics")) {
      this.counted = true;
      this.root.requests.increment(1);
      this.root.open.increment(1);
      this.root.sizes.record(this.root.sizes.metric_id, headers.get(":path").length);
    }
    if (this.has("queue")) enqueue_shared_queue(this.root.queue, String.UTF8.encode(headers.get(":path")));
    if (this.has("wait")) {
      streams.set(this.context_id, this);
      this.root.waiting.push(this.context_id);
      return FilterHeadersStatusValues.StopIteration;
    }
    if (this.has("call")) {
      let call = [
        new HeaderPair(String.UTF8.encode(":method"), String.UTF8.encode("GET")),
        new HeaderPair(String.UTF8.encode(":path"), String.UTF8.encode("/called")),
        new HeaderPair(String.UTF8.encode(":authority"), String.UTF8.encode(this.root.service)),
      ];
      let result = this.root.httpCall(this.root.service, call, new ArrayBuffer(0), [], 2000, this,
        (origin: BaseContext, headers: u32, size: usize, trailers: u32) => {
          let status = stream_context.headers.http_callback.get(":status");
          stream_context.headers.request.replace("x-called", status + ":" + size.toString());
          continue_request();
        });
      check(result, "http_call");
      return FilterHeadersStatusValues.StopIteration;
    }
    return FilterHeadersStatusValues.Continue;
  }

  onRequestBody(size: usize, end: bool): FilterDataStatusValues {
    if (this.reply("request-body")) return FilterDataStatusValues.StopIterationAndBuffer;
    if (this.has("grow-request") && size > 0) {
      setBytes(BufferTypeValues.HttpRequestBody, size as u32, 0, String.UTF8.encode("[" + size.toString() + "]"));
    }
    if (this.has("buffer-request")) {
      if (!end) return FilterDataStatusValues.StopIterationAndBuffer;
      upper(BufferTypeValues.HttpRequestBody, size as u32);
    }
    return FilterDataStatusValues.Continue;
  }

  onRequestTrailers(count: u32): FilterTrailersStatusValues {
    return this.reply("request-trailers") ? FilterTrailersStatusValues.StopIteration : FilterTrailersStatusValues.Continue;
  }

  onResponseHeaders(count: u32, end: bool): FilterHeadersStatusValues {
    if (this.reply("response-headers")) return FilterHeadersStatusValues.StopIteration;
    let headers = stream_context.headers.response;
    if (this.has("replace-response") || this.has("stream-response")) headers.remove("content-length");
    if (this.has("shared")) headers.replace("x-shared", shared("count", 1).toString());
    if (this.has("queue")) headers.replace("x-queued", shared("taken", 0).toString());
    if (this.has("props")) {
      headers.replace("x-prop-method", this.method);
      headers.replace("x-prop-protocol", this.protocol);
      headers.replace("x-prop-set", String.UTF8.decode(get_property("everything")));
    }
    return FilterHeadersStatusValues.Continue;
  }

  onResponseBody(size: usize, end: bool): FilterDataStatusValues {
    if (this.reply("response-body")) return FilterDataStatusValues.StopIterationAndBuffer;
    if (this.has("stream-response") && size > 0) {
      setBytes(BufferTypeValues.HttpResponseBody, 0, 0, String.UTF8.encode("<" + size.toString() + ">"));
    }
    if (this.has("replace-response")) {
      if (!end) return FilterDataStatusValues.StopIterationAndBuffer;
      setBytes(BufferTypeValues.HttpResponseBody, 0, size as u32, String.UTF8.encode("replaced " + size.toString() + " bytes\n"));
    }
    return FilterDataStatusValues.Continue;
  }

  onResponseTrailers(count: u32): FilterTrailersStatusValues {
    return this.reply("response-trailers") ? FilterTrailersStatusValues.StopIteration : FilterTrailersStatusValues.Continue;
  }

  onLog(): void {
    if (this.counted) this.root.open.increment(-1);
    streams.delete(this.context_id);
  }
}

class Lines extends Context {
  onDownstreamData(size: usize, end: bool): FilterStatusValues {
    if (size == 0) return FilterStatusValues.Continue;
    let last = Uint8Array.wrap(get_buffer_bytes(BufferTypeValues.NetworkDownstreamData, 0, size as u32))[(size as i32) - 1];
    if (!end && last != 0x0a) return FilterStatusValues.StopIteration;
    upper(BufferTypeValues.NetworkDownstreamData, size as u32);
    return FilterStatusValues.Continue;
  }

  onUpstreamData(size: usize, end: bool): FilterStatusValues {
    if (size > 0) setBytes(BufferTypeValues.NetworkUpstreamData, 0, 0, String.UTF8.encode("> "));
    return FilterStatusValues.Continue;
  }
}

// The SDK exports the callbacks of requests alone. Without the cast, the compiler
// calls the methods that Lines inherits.
export function proxy_on_downstream_data(id: u32, size: u32, end: u32): u32 {
  return changetype<Lines>(getContext(id)).onDownstreamData(size, end != 0);
}

export function proxy_on_upstream_data(id: u32, size: u32, end: u32): u32 {
  return changetype<Lines>(getContext(id)).onUpstreamData(size, end != 0);
}

class LinesRoot extends RootContext {
  createContext(id: u32): Context {
    return new Lines(id, this);
  }

  onConfigure(size: u32): bool {
    return true;
  }
}

registerRootContext((id: u32) => { return new Root(id); }, "");
registerRootContext((id: u32) => { return new LinesRoot(id); }, "tcp");

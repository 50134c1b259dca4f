package host

import "unsafe"

var (
	outP, outN, out32 uint32
	out64             uint64
)

// What the host allocates for the result of the call that runs: it asks once a
// call. spare is room that the caller gave, and given is what the host got; it
// is held here until the call returns.
var spare, given []byte

// Allocate gives the host memory for a result.
func Allocate(size uint32) unsafe.Pointer {
	if n := uint64(size); n <= uint64(cap(spare)-len(spare)) {
		given = spare[len(spare) : len(spare)+int(size)]
	} else {
		given = make([]byte, size)
	}
	if size == 0 {
		return unsafe.Pointer(&outN) // anything but nil, which would say that there is no memory
	}
	return unsafe.Pointer(unsafe.SliceData(given))
}

// offer begins a call that returns bytes.
func offer(dst []byte) { spare, outP, outN = dst, 0, 0 }

// taken ends it.
func taken(dst []byte, s int32) ([]byte, int32) {
	got := given
	spare, given = nil, nil
	if s != 0 || outN == 0 {
		return dst, s
	}
	if uint64(outN) > uint64(len(got)) || outP != uint32(uintptr(unsafe.Pointer(unsafe.SliceData(got)))) {
		return dst, 6 // not the memory that it was given
	}
	got = got[:outN]
	switch {
	case dst == nil:
		return got, 0
	case len(dst)+len(got) <= cap(dst) && unsafe.SliceData(got) == unsafe.SliceData(dst[len(dst):cap(dst)]):
		return dst[:len(dst)+len(got)], 0
	}
	return append(dst, got...), 0
}

func str(s string) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.StringData(s)), uint32(len(s))
}
func raw(b []byte) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b))
}

func Log(level int32, line []byte) int32 {
	p, n := raw(line)
	return proxyLog(level, p, n)
}

func LogLevel() (int32, int32) {
	s := proxyGetLogLevel(&out32)
	return int32(out32), s
}

// LastStatus returns how the gRPC call ended whose end is being told.
func LastStatus() (code uint32, message []byte, status int32) {
	offer(nil)
	s := proxyGetStatus(&out32, &outP, &outN)
	message, s = taken(nil, s)
	return out32, message, s
}

func SetTickPeriod(ms uint32) int32 { return proxySetTickPeriod(ms) }

// Property takes the segments of a path with NUL between them.
func Property(dst, path []byte) ([]byte, int32) {
	offer(dst)
	p, n := raw(path)
	return taken(dst, proxyGetProperty(p, n, &outP, &outN))
}

func SetProperty(path string, value []byte) int32 {
	p, n := str(path)
	vp, vn := raw(value)
	return proxySetProperty(p, n, vp, vn)
}

// SendLocalResponse takes packed headers; a grpc of -1 is none.
func SendLocalResponse(status uint32, details, body string, headers []byte, grpc int32) int32 {
	dp, dn := str(details)
	bp, bn := str(body)
	hp, hn := raw(headers)
	return proxySendLocalResponse(status, dp, dn, bp, bn, hp, hn, grpc)
}

func ContinueStream(side int32) int32 { return proxyContinueStream(side) }
func CloseStream(side int32) int32    { return proxyCloseStream(side) }

func HeaderValue(dst []byte, m int32, name string) ([]byte, int32) {
	offer(dst)
	p, n := str(name)
	return taken(dst, proxyGetHeader(m, p, n, &outP, &outN))
}

func AddHeader(m int32, name, value string) int32 {
	p, n := str(name)
	vp, vn := str(value)
	return proxyAddHeader(m, p, n, vp, vn)
}

func ReplaceHeader(m int32, name, value string) int32 {
	p, n := str(name)
	vp, vn := str(value)
	return proxyReplaceHeader(m, p, n, vp, vn)
}

func RemoveHeader(m int32, name string) int32 {
	p, n := str(name)
	return proxyRemoveHeader(m, p, n)
}

func HeaderPairs(dst []byte, m int32) ([]byte, int32) {
	offer(dst)
	return taken(dst, proxyGetHeaders(m, &outP, &outN))
}

func SetHeaderPairs(m int32, packed []byte) int32 {
	p, n := raw(packed)
	return proxySetHeaders(m, p, n)
}

func BufferBytes(dst []byte, buffer int32, start, most uint32) ([]byte, int32) {
	offer(dst)
	return taken(dst, proxyGetBuffer(buffer, start, most, &outP, &outN))
}

func SetBufferBytes(buffer int32, start, length uint32, data []byte) int32 {
	p, n := raw(data)
	return proxySetBuffer(buffer, start, length, p, n)
}

func HTTPCall(service string, headers, body, trailers []byte, ms uint32) (token uint32, status int32) {
	sp, sn := str(service)
	hp, hn := raw(headers)
	bp, bn := raw(body)
	tp, tn := raw(trailers)
	s := proxyHTTPCall(sp, sn, hp, hn, bp, bn, tp, tn, ms, &out32)
	return out32, s
}

func GRPCCall(service, name, method string, metadata, message []byte, ms uint32) (token uint32, status int32) {
	sp, sn := str(service)
	np, nn := str(name)
	mp, mn := str(method)
	hp, hn := raw(metadata)
	bp, bn := raw(message)
	s := proxyGRPCCall(sp, sn, np, nn, mp, mn, hp, hn, bp, bn, ms, &out32)
	return out32, s
}

func GRPCStream(service, name, method string, metadata []byte) (token uint32, status int32) {
	sp, sn := str(service)
	np, nn := str(name)
	mp, mn := str(method)
	hp, hn := raw(metadata)
	s := proxyGRPCStream(sp, sn, np, nn, mp, mn, hp, hn, &out32)
	return out32, s
}

func GRPCSend(token uint32, message []byte, end bool) int32 {
	p, n := raw(message)
	var e int32
	if end {
		e = 1
	}
	return proxyGRPCSend(token, p, n, e)
}

func GRPCCancel(token uint32) int32 { return proxyGRPCCancel(token) }
func GRPCClose(token uint32) int32  { return proxyGRPCClose(token) }

func SetSharedData(key string, value []byte, cas uint32) int32 {
	p, n := str(key)
	vp, vn := raw(value)
	return proxySetSharedData(p, n, vp, vn, cas)
}

func SharedData(dst []byte, key string) (value []byte, cas uint32, status int32) {
	offer(dst)
	out32 = 0
	p, n := str(key)
	value, s := taken(dst, proxyGetSharedData(p, n, &outP, &outN, &out32))
	return value, out32, s
}

func RegisterQueue(name string) (token uint32, status int32) {
	p, n := str(name)
	s := proxyRegisterQueue(p, n, &out32)
	return out32, s
}

func ResolveQueue(vmID, name string) (token uint32, status int32) {
	vp, vn := str(vmID)
	p, n := str(name)
	s := proxyResolveQueue(vp, vn, p, n, &out32)
	return out32, s
}

func Enqueue(token uint32, item []byte) int32 {
	p, n := raw(item)
	return proxyEnqueue(token, p, n)
}

func Dequeue(dst []byte, token uint32) ([]byte, int32) {
	offer(dst)
	return taken(dst, proxyDequeue(token, &outP, &outN))
}

func DefineMetric(kind int32, name string) (id uint32, status int32) {
	p, n := str(name)
	s := proxyDefineMetric(kind, p, n, &out32)
	return out32, s
}

func IncrementMetric(id uint32, by int64) int32 { return proxyIncrementMetric(id, by) }
func RecordMetric(id uint32, value int64) int32 { return proxyRecordMetric(id, value) }

func MetricValue(id uint32) (uint64, int32) {
	s := proxyGetMetric(id, &out64)
	return out64, s
}

func SetEffectiveContext(id uint32) int32 { return proxySetEffectiveContext(id) }
func Done() int32                         { return proxyDone() }

func CallForeign(name string, args []byte) ([]byte, int32) {
	offer(nil)
	np, nn := str(name)
	p, n := raw(args)
	return taken(nil, proxyCallForeign(np, nn, p, n, &outP, &outN))
}

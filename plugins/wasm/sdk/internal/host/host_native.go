//go:build !wasip1

package host

// Native answers the functions of this package in a native program, where there
// is no host. Without it they panic.
var Native Interface

// Interface is the functions of this package.
type Interface interface {
	Log(level int32, line []byte) int32
	LogLevel() (int32, int32)
	LastStatus() (code uint32, message []byte, status int32)
	SetTickPeriod(ms uint32) int32
	Property(dst, path []byte) ([]byte, int32)
	SetProperty(path string, value []byte) int32
	SendLocalResponse(status uint32, details, body string, headers []byte, grpc int32) int32
	ContinueStream(side int32) int32
	CloseStream(side int32) int32
	HeaderValue(dst []byte, m int32, name string) ([]byte, int32)
	AddHeader(m int32, name, value string) int32
	ReplaceHeader(m int32, name, value string) int32
	RemoveHeader(m int32, name string) int32
	HeaderPairs(dst []byte, m int32) ([]byte, int32)
	SetHeaderPairs(m int32, packed []byte) int32
	BufferBytes(dst []byte, buffer int32, start, most uint32) ([]byte, int32)
	SetBufferBytes(buffer int32, start, length uint32, data []byte) int32
	HTTPCall(service string, headers, body, trailers []byte, ms uint32) (token uint32, status int32)
	GRPCCall(service, name, method string, metadata, message []byte, ms uint32) (token uint32, status int32)
	GRPCStream(service, name, method string, metadata []byte) (token uint32, status int32)
	GRPCSend(token uint32, message []byte, end bool) int32
	GRPCCancel(token uint32) int32
	GRPCClose(token uint32) int32
	SetSharedData(key string, value []byte, cas uint32) int32
	SharedData(dst []byte, key string) (value []byte, cas uint32, status int32)
	RegisterQueue(name string) (token uint32, status int32)
	ResolveQueue(vmID, name string) (token uint32, status int32)
	Enqueue(token uint32, item []byte) int32
	Dequeue(dst []byte, token uint32) ([]byte, int32)
	DefineMetric(kind int32, name string) (id uint32, status int32)
	IncrementMetric(id uint32, by int64) int32
	RecordMetric(id uint32, value int64) int32
	MetricValue(id uint32) (uint64, int32)
	SetEffectiveContext(id uint32) int32
	Done() int32
	CallForeign(name string, args []byte) ([]byte, int32)
}

func Log(level int32, line []byte) int32 { return Native.Log(level, line) }

func LogLevel() (int32, int32) { return Native.LogLevel() }

func LastStatus() (code uint32, message []byte, status int32) { return Native.LastStatus() }

func SetTickPeriod(ms uint32) int32 { return Native.SetTickPeriod(ms) }

func Property(dst, path []byte) ([]byte, int32) { return Native.Property(dst, path) }

func SetProperty(path string, value []byte) int32 { return Native.SetProperty(path, value) }

func SendLocalResponse(status uint32, details, body string, headers []byte, grpc int32) int32 {
	return Native.SendLocalResponse(status, details, body, headers, grpc)
}

func ContinueStream(side int32) int32 { return Native.ContinueStream(side) }

func CloseStream(side int32) int32 { return Native.CloseStream(side) }

func HeaderValue(dst []byte, m int32, name string) ([]byte, int32) {
	return Native.HeaderValue(dst, m, name)
}

func AddHeader(m int32, name, value string) int32 { return Native.AddHeader(m, name, value) }

func ReplaceHeader(m int32, name, value string) int32 { return Native.ReplaceHeader(m, name, value) }

func RemoveHeader(m int32, name string) int32 { return Native.RemoveHeader(m, name) }

func HeaderPairs(dst []byte, m int32) ([]byte, int32) { return Native.HeaderPairs(dst, m) }

func SetHeaderPairs(m int32, packed []byte) int32 { return Native.SetHeaderPairs(m, packed) }

func BufferBytes(dst []byte, buffer int32, start, most uint32) ([]byte, int32) {
	return Native.BufferBytes(dst, buffer, start, most)
}

func SetBufferBytes(buffer int32, start, length uint32, data []byte) int32 {
	return Native.SetBufferBytes(buffer, start, length, data)
}

func HTTPCall(service string, headers, body, trailers []byte, ms uint32) (token uint32, status int32) {
	return Native.HTTPCall(service, headers, body, trailers, ms)
}

func GRPCCall(service, name, method string, metadata, message []byte, ms uint32) (token uint32, status int32) {
	return Native.GRPCCall(service, name, method, metadata, message, ms)
}

func GRPCStream(service, name, method string, metadata []byte) (token uint32, status int32) {
	return Native.GRPCStream(service, name, method, metadata)
}

func GRPCSend(token uint32, message []byte, end bool) int32 {
	return Native.GRPCSend(token, message, end)
}

func GRPCCancel(token uint32) int32 { return Native.GRPCCancel(token) }

func GRPCClose(token uint32) int32 { return Native.GRPCClose(token) }

func SetSharedData(key string, value []byte, cas uint32) int32 {
	return Native.SetSharedData(key, value, cas)
}

func SharedData(dst []byte, key string) (value []byte, cas uint32, status int32) {
	return Native.SharedData(dst, key)
}

func RegisterQueue(name string) (token uint32, status int32) { return Native.RegisterQueue(name) }

func ResolveQueue(vmID, name string) (token uint32, status int32) {
	return Native.ResolveQueue(vmID, name)
}

func Enqueue(token uint32, item []byte) int32 { return Native.Enqueue(token, item) }

func Dequeue(dst []byte, token uint32) ([]byte, int32) { return Native.Dequeue(dst, token) }

func DefineMetric(kind int32, name string) (id uint32, status int32) {
	return Native.DefineMetric(kind, name)
}

func IncrementMetric(id uint32, by int64) int32 { return Native.IncrementMetric(id, by) }

func RecordMetric(id uint32, value int64) int32 { return Native.RecordMetric(id, value) }

func MetricValue(id uint32) (uint64, int32) { return Native.MetricValue(id) }

func SetEffectiveContext(id uint32) int32 { return Native.SetEffectiveContext(id) }

func Done() int32 { return Native.Done() }

func CallForeign(name string, args []byte) ([]byte, int32) { return Native.CallForeign(name, args) }

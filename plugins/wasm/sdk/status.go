package sdk

// Status is the host's answer to a call, where it is not "done". Compare with
// errors.Is or ==.
type Status int32

// The statuses of Proxy-Wasm.
const (
	NotFound            Status = 1
	BadArgument         Status = 2 // also: not in this callback
	SerializationFailed Status = 3
	ParseFailed         Status = 4
	BadExpression       Status = 5
	InvalidMemory       Status = 6
	Empty               Status = 7
	CASMismatch         Status = 8
	ResultMismatch      Status = 9
	InternalFailure     Status = 10
	BrokenConnection    Status = 11
	Unimplemented       Status = 12
)

var statusText = [...]string{
	"ok", "not found", "bad argument, or not possible in this callback", "serialization failed", "parse failed", "bad expression",
	"invalid memory access", "empty", "changed since it was read", "result mismatch", "internal failure", "broken connection", "unimplemented",
}

// Error says the status in words.
func (s Status) Error() string {
	if s >= 0 && int(s) < len(statusText) {
		return "host: " + statusText[s]
	}
	return "host: unknown status"
}

func check(s int32) error {
	if s == 0 {
		return nil
	}
	return Status(s)
}

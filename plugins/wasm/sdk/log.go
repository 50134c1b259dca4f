package sdk

import "github.com/meshc/meshc/plugins/wasm/sdk/internal/host"

// Level is the weight of a line in the host's log.
type Level int32

const (
	Trace Level = iota
	Debug
	Info
	Warn
	Error
	Critical
)

// Log writes a line, made of parts, to the host's log. No secrets belong there.
func Log(l Level, parts ...string) {
	line = line[:0]
	for _, p := range parts {
		line = append(line, p...)
	}
	host.Log(int32(l), line)
}

// line is kept for the next one.
var line []byte

// Logs says whether the host writes lines of that level, where making one costs
// something.
func Logs(l Level) bool {
	least, s := host.LogLevel()
	return s != 0 || int32(l) >= least
}

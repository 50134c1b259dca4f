package proxy

import "strings"

// flagBits are Envoy's response flags by their short names, as the bits that
// the attribute response.flags has of them (source/common/stream_info/utility.h).
var flagBits = map[string]uint64{
	"LH": 1 << 0, "UH": 1 << 1, "UT": 1 << 2, "LR": 1 << 3, "UR": 1 << 4, "UF": 1 << 5, "UC": 1 << 6, "UO": 1 << 7,
	"NR": 1 << 8, "DI": 1 << 9, "FI": 1 << 10, "RL": 1 << 11, "UAEX": 1 << 12, "RLSE": 1 << 13, "DC": 1 << 14, "URX": 1 << 15,
	"SI": 1 << 16, "IH": 1 << 17, "DPE": 1 << 18, "UMSDR": 1 << 19, "RFCF": 1 << 20, "NFCF": 1 << 21, "DT": 1 << 22, "UPE": 1 << 23, "DR": 1 << 28,
}

// flag adds one of Envoy's response flags.
func (s *stream) flag(name string) {
	s.flagged.Or(flagBits[name])
	switch {
	case s.flags == "":
		s.flags = name
	case name != "" && !strings.Contains(s.flags, name):
		s.flags += "," + name
	}
}

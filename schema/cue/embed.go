// Package rules holds the rules about single documents, written in CUE. They
// are also a CUE module of their own: stock cue vet with them agrees with meshc.
package rules

import "embed"

// FS holds the .cue files of package schema.
//
//go:embed *.cue
var FS embed.FS

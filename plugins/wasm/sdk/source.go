//go:build !wasip1

package sdk

import "embed"

// Source is the source of this package and of the one under internal, for
// `meshc plugin new`, which copies it into the projects that it makes. Not
// in a module.
//
//go:embed *.go *.s internal/host/*.go
var Source embed.FS

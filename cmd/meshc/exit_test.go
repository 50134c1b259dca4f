package main

import (
	"errors"
	"os/exec"
	"strconv"
)

// exitCode returns the code with which the command that gave err ended.
func exitCode(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return strconv.Itoa(exit.ExitCode())
	}
	return err.Error()
}

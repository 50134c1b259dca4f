//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/meshc/meshc/schema"
)

// usage is what a process took, from start to end.
type usage struct {
	wall   time.Duration
	cpu    time.Duration
	memory int64 // the most that was resident, in bytes
}

// run runs a program, with one core if single, and returns what it took. The
// program must end well.
func run(single bool, name string, args ...string) (usage, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = os.Environ()
	if single {
		cmd.Env = append(cmd.Env, "GOMAXPROCS=1")
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	err := cmd.Run()
	u := usage{wall: time.Since(start)}
	if err != nil {
		said := out.String()
		return u, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, said[:min(len(said), 2000)])
	}
	u.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	u.memory = cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss * 1024 // Linux counts KiB
	return u, nil
}

// inTurns runs several programs one after another, some rounds of that, and
// returns of each the shortest times and the most memory.
func inTurns(rounds int, runs ...func() (usage, error)) ([]usage, error) {
	out := make([]usage, len(runs))
	for round := range rounds {
		for i, r := range runs {
			u, err := r()
			if err != nil {
				return nil, err
			}
			if round == 0 || u.wall < out[i].wall {
				out[i].wall = u.wall
			}
			if round == 0 || u.cpu < out[i].cpu {
				out[i].cpu = u.cpu
			}
			out[i].memory = max(out[i].memory, u.memory)
		}
	}
	return out, nil
}

// writeSchemas writes the JSON Schemas that meshc makes of its rules to dir, as
// kubeconform looks for them, and returns its argument that says so.
func writeSchemas(dir string) (string, error) {
	schemas, err := schema.JSONSchemas()
	if err != nil {
		return "", err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	for _, kind := range []string{"Service", "Endpoints"} {
		if err := os.WriteFile(filepath.Join(dir, strings.ToLower(kind)+".json"), schemas[kind], 0o600); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, "{{.ResourceKind}}.json"), nil
}

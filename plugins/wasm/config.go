package wasm

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/meshc/meshc/plugins"
	"github.com/meshc/meshc/plugins/wasm/internal/module"
)

// config is the kind's configuration; every key is there.
type config struct {
	RootID          string            `json:"rootId"`
	VMID            string            `json:"vmId"`
	Configuration   string            `json:"configuration"`
	VMConfiguration string            `json:"vmConfiguration"`
	Env             map[string]string `json:"env"`
	// Memory is the most that a guest may have, in bytes.
	Memory uint64 `json:"memory"`
	// CallTimeout bounds one call into the guest.
	CallTimeout duration `json:"callTimeout"`
	// FailurePolicy is closed or open.
	FailurePolicy string `json:"failurePolicy"`
}

// duration is written as Go writes it ("100ms").
type duration time.Duration

func (d *duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = duration(v)
	return err
}

// Bounds on a configuration.
const (
	pageSize       = 64 << 10
	maxMemory      = 1 << 30
	maxCallTimeout = time.Minute
)

// parseConfig reads a configuration. Its errors hold nothing of the values,
// which may be secret.
func parseConfig(text string) (config, error) {
	var c config
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		var typed *json.UnmarshalTypeError
		if errors.As(err, &typed) {
			return c, fmt.Errorf("configuration of the plugin: %s has the wrong type", typed.Field)
		}
		return c, errors.New("configuration of the plugin: not as it should be")
	}
	switch {
	case c.FailurePolicy != "closed" && c.FailurePolicy != "open":
		return c, errors.New("failurePolicy is neither closed nor open")
	case c.Memory < pageSize || c.Memory > maxMemory:
		return c, errors.New("memory is not between 64 KiB and 1 GiB")
	case c.CallTimeout <= 0 || time.Duration(c.CallTimeout) > maxCallTimeout:
		return c, errors.New("callTimeout is not above 0 and at most 1m")
	}
	for name, value := range c.Env {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(value, 0) {
			return c, errors.New("env has a name or a value that cannot be in an environment")
		}
	}
	return c, nil
}

// environment returns the variables as NAME=value, by name.
func (c *config) environment() []string {
	all := make([]string, 0, len(c.Env))
	for name, value := range c.Env {
		all = append(all, name+"="+value)
	}
	sort.Strings(all)
	return all
}

// vmKey tells VMs apart: uses of equal keys share one in each worker. Meshes
// share none, as they would share no Envoy.
type vmKey [sha256.Size]byte

func (c *config) vmKey(mesh, digest string) (key vmKey) {
	h := sha256.New()
	part := func(s string) {
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	part(mesh)
	part(c.VMID)
	part(c.VMConfiguration)
	part(digest)
	for _, v := range c.environment() {
		part(v)
	}
	part(fmt.Sprint(c.Memory, c.CallTimeout))
	h.Sum(key[:0])
	return key
}

// check is Kind.Check.
func check(u plugins.Use) []string {
	c, err := parseConfig(u.Config)
	if err != nil {
		return []string{err.Error()}
	}
	return checked.problems(moduleKey{u.Digest, c.Memory}, u.Blob)
}

// checks remembers what was wrong with a module, for documents are compiled at
// each change of any of them, and a module of megabytes takes 20 ms.
type checks struct {
	mu    sync.Mutex
	known map[moduleKey][]string
}

const maxChecks = 256

var checked = checks{known: map[moduleKey][]string{}}

func (c *checks) problems(key moduleKey, code string) []string {
	c.mu.Lock()
	found, ok := c.known[key]
	c.mu.Unlock()
	if ok {
		return found
	}
	m, err := module.Parse([]byte(code))
	if err != nil {
		found = []string{err.Error()}
	} else {
		found = m.Problems(uint32(key.memory / pageSize))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= maxChecks {
		clear(c.known)
	}
	c.known[key] = found
	return found
}

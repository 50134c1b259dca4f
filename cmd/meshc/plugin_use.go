package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/meshc/meshc/compiler"
	"github.com/meshc/meshc/plugins"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/files"
)

// moduleFlags say what a module is given, in place of a WasmPlugin document.
func moduleFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "config", Usage: "the plugin's configuration, as text"},
		&cli.StringFlag{Name: "config-file", Usage: "a file with the plugin's configuration"},
		&cli.StringFlag{Name: "vm-config", Usage: "the VM's configuration, as text"},
		&cli.StringFlag{Name: "root-id", Usage: "which of the module's plugins"},
		&cli.StringSliceFlag{Name: "env", Usage: "K=V for the module's environment; repeatable"},
	}
}

// pluginUse returns what is to be run: a module with what the flags say, or the
// WasmPlugin document of a folder, which the flags change.
func pluginUse(c *cli.Context, path string) (plugins.Use, error) {
	info, err := os.Stat(path)
	if err != nil {
		return plugins.Use{}, failed("%v", err)
	}
	use := plugins.Use{Name: "default/" + strings.TrimSuffix(filepath.Base(path), ".wasm"), Config: defaultWasmConfig}
	if info.IsDir() {
		documented, found, err := documentedUse(c, path)
		if err != nil {
			return use, err
		}
		if found {
			return withFlags(c, documented)
		}
		modules, err := filepath.Glob(filepath.Join(path, "*.wasm"))
		if err != nil {
			return use, failed("%v", err)
		}
		if len(modules) != 1 {
			return use, failed("%s: there is no WasmPlugin document in it, and %d .wasm files; name the module", path, len(modules))
		}
		path = modules[0]
	}
	data, err := readModule(path)
	if err != nil {
		return use, failed("%v", err)
	}
	sum := sha256.Sum256(data)
	use.Blob, use.Digest = string(data), hex.EncodeToString(sum[:])
	return withFlags(c, use)
}

// readModule reads a module, if that is what a file may be.
func readModule(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, fmt.Errorf("%s is a folder; name a .wasm file", path)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no regular file", path)
	case info.Size() > schema.MaxModule:
		return nil, fmt.Errorf("%s has %d bytes, more than the %d that a module may have", path, info.Size(), schema.MaxModule)
	}
	return os.ReadFile(path)
}

// documentedUse returns the use that the one WasmPlugin document of a folder
// describes; found is false where there is none.
func documentedUse(c *cli.Context, dir string) (use plugins.Use, found bool, err error) {
	tree, err := files.NewReader([]string{dir}, nil).Read(c.Context)
	if err != nil {
		return use, false, failed("%v", err)
	}
	loaded := schema.NewLoader().Load(c.Context, tree)
	var docs []*schema.Document
	for _, d := range loaded.Documents {
		if d.Dialect == schema.Meshc && d.Kind == "WasmPlugin" {
			docs = append(docs, d)
		}
	}
	var sources schema.Sources
	wrong := append(loaded.Diagnostics, sources.Check(docs)...)
	if diag.HasErrors(wrong) {
		var summary diag.Summary
		summary.Count(wrong)
		if err := diag.Write(c.App.ErrWriter, diag.Text, wrong, summary, diag.Options{Color: colored(c.App.ErrWriter)}); err != nil {
			return use, false, failed("%v", err)
		}
		return use, false, errFindings
	}
	switch len(docs) {
	case 0:
		return use, false, nil
	case 1:
	default:
		var at []string
		for _, d := range docs {
			at = append(at, fmt.Sprintf("%s (%s:%d)", d.Name, d.Place().File, d.Place().Line))
		}
		return use, false, failed("%s holds several WasmPlugin documents: %s; name the module of one", dir, strings.Join(at, ", "))
	}
	module, _ := sources.Module(docs[0])
	if module == nil {
		return use, false, failed("%s: the module of WasmPlugin %s cannot be read", dir, docs[0].Name)
	}
	f, tcp := compiler.WasmFilter(docs[0], module)
	return useOf(f, tcp, module.Data), true, nil
}

// defaultWasmConfig is what a WasmPlugin says that says nothing.
const defaultWasmConfig = `{"rootId":"","vmId":"","configuration":"","vmConfiguration":"","env":{},"memory":67108864,"callTimeout":"100ms","failurePolicy":"closed"}`

// withFlags returns use with what the flags say about it.
func withFlags(c *cli.Context, use plugins.Use) (plugins.Use, error) {
	if c.IsSet("config") && c.IsSet("config-file") {
		return use, failed("--config and --config-file exclude one another")
	}
	changes := map[string]any{}
	for flag, key := range map[string]string{"config": "configuration", "vm-config": "vmConfiguration", "root-id": "rootId"} {
		if c.IsSet(flag) {
			changes[key] = c.String(flag)
		}
	}
	if c.IsSet("config-file") {
		text, err := os.ReadFile(c.String("config-file"))
		if err != nil {
			return use, failed("--config-file: %v", err)
		}
		changes["configuration"] = string(text)
	}
	env := map[string]string{}
	for _, e := range c.StringSlice("env") {
		k, v, ok := strings.Cut(e, "=")
		if !ok || k == "" {
			return use, failed("--env %s: must be K=V", e)
		}
		env[k] = v
	}
	if len(env) > 0 {
		changes["env"] = env
	}
	if c.Bool("tcp") {
		use.TCP = true
	}
	return configured(use, changes)
}

// withConfiguration returns use with another configuration.
func withConfiguration(use plugins.Use, text string) (plugins.Use, error) {
	return configured(use, map[string]any{"configuration": text})
}

// configured returns use with some keys of its configuration replaced.
func configured(use plugins.Use, changes map[string]any) (plugins.Use, error) {
	var config map[string]any
	if err := json.Unmarshal([]byte(use.Config), &config); err != nil {
		return use, err
	}
	maps.Copy(config, changes)
	text, err := json.Marshal(config)
	use.Config = string(text)
	return use, err
}

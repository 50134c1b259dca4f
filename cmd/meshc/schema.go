package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
)

func schemaCommand() *cli.Command {
	return &cli.Command{
		Name:      "schema",
		Usage:     "write schemas for editors: JSON Schema, and the CUE package " + schema.CUEModule,
		ArgsUsage: "[KIND]",
		Description: `Without --out it prints one JSON Schema: that of KIND, or the one of all kinds, meshc.schema.json. With --out DIR it
writes all of them to DIR, and the CUE package to DIR/cue.mod/pkg/meshc.dev/schema, where stock cue finds it offline.
The schemas help while you write; what is right is for meshc validate to say. Exit code: 0 written, 2 not.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "directory to write to; made if it is not there"},
			&cli.StringFlag{Name: "format", Value: "all", Usage: "with --out, what to write: json, cue or all"},
		},
		Action: func(c *cli.Context) error {
			format := c.String("format")
			if !slices.Contains([]string{"json", "cue", "all"}, format) {
				return failed("--format %s: must be json, cue or all", format)
			}
			schemas, err := schema.JSONSchemas()
			if err != nil {
				return failed("%v", err)
			}
			switch {
			case c.String("out") == "" && format == "cue":
				return failed("the CUE package is a folder: say where to write it, with --out DIR")
			case c.String("out") == "":
				return printSchema(c.App.Writer, schemas, c.Args().Slice())
			case c.Args().Present():
				return failed("--out writes all kinds; leave %s out", c.Args().First())
			}
			var written []string
			if format != "cue" {
				written, err = writeJSONSchemas(c.String("out"), schemas)
			}
			var ds []diag.Diagnostic
			if err == nil && format != "json" {
				var more []string
				more, err = writeCUEPackage(c.String("out"))
				written = append(written, more...)
			}
			if err == nil && format != "json" {
				ds, err = schema.CheckCUEModule(c.String("out"))
			}
			if err != nil {
				return failed("--out %s: %v", c.String("out"), err)
			}
			for _, file := range written {
				fmt.Fprintln(c.App.Writer, file)
			}
			for _, d := range ds { // of a module that was there before
				fmt.Fprintf(c.App.ErrWriter, "warning: %s: %s\n", d.Place, d.Message)
			}
			return nil
		},
	}
}

// printSchema prints the schema of one kind, or of all.
func printSchema(w io.Writer, schemas map[string][]byte, kinds []string) error {
	kind := schema.AnyKind
	switch {
	case len(kinds) > 1:
		return failed("one kind at a time")
	case len(kinds) == 1:
		kind = kinds[0]
	}
	text, ok := schemas[kind]
	if !ok {
		return failed("no kind is named %q: %sthere are %s", kind, diag.Suggest(kind, schemas),
			strings.Join(slices.Sorted(maps.Keys(schemas)), ", "))
	}
	_, err := fmt.Fprintf(w, "%s\n", text)
	return err
}

// writeJSONSchemas writes DIR/KIND.schema.json for each kind and returns the paths.
func writeJSONSchemas(dir string, schemas map[string][]byte) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var written []string
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		file := filepath.Join(dir, name+".schema.json")
		if err := putFile(file, append(slices.Clone(schemas[name]), '\n')); err != nil {
			return nil, err
		}
		written = append(written, file)
	}
	return written, nil
}

// moduleFile makes a directory a CUE module, without which cue imports nothing.
const moduleFile = `module: "config.example"
language: version: "v0.15.0"
`

// writeCUEPackage writes the CUE package to where cue looks for vendored
// packages below dir, and a module file where there is none. What an older
// meshc has left there is removed.
func writeCUEPackage(dir string) ([]string, error) {
	var written []string
	module := filepath.Join(dir, "cue.mod", "module.cue")
	if _, err := os.Stat(module); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(module), 0o755); err != nil {
			return nil, err
		}
		if err := putFile(module, []byte(moduleFile)); err != nil {
			return nil, err
		}
		written = append(written, module)
	}
	folder := filepath.Join(dir, "cue.mod", "pkg", filepath.FromSlash(schema.CUEModule))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	names, err := fs.Glob(schema.CUEPackage(), "*.cue")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		text, err := fs.ReadFile(schema.CUEPackage(), name)
		if err != nil {
			return nil, err
		}
		file := filepath.Join(folder, path.Base(name))
		if err := putFile(file, text); err != nil {
			return nil, err
		}
		written = append(written, file)
	}
	there, err := filepath.Glob(filepath.Join(folder, "*.cue"))
	if err != nil {
		return nil, err
	}
	for _, file := range there {
		if !slices.Contains(names, filepath.Base(file)) {
			if err := os.Remove(file); err != nil {
				return nil, err
			}
		}
	}
	return written, nil
}

// putFile writes a file whole or not at all.
func putFile(path string, text []byte) error {
	return replaceFile(path, 0o644, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

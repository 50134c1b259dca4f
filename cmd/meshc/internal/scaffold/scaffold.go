// Package scaffold makes the project of a new Proxy-Wasm filter.
package scaffold

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/meshc/meshc/plugins/wasm/sdk"
)

//go:embed all:templates
var templates embed.FS

// Languages are those that New knows.
var Languages = []string{"assemblyscript", "go", "rust"}

// A name stands in a header's name, a document, and the manifests of three
// package managers.
var validName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// New writes the project of a filter into dir, which is made where it does not
// exist and has to be empty. It builds with the language's own tools. It
// returns the files written, relative to dir, with slashes, in order.
func New(dir, lang, name string) ([]string, error) {
	if !slices.Contains(Languages, lang) {
		return nil, fmt.Errorf("language %q: want one of %s", lang, strings.Join(Languages, ", "))
	}
	if len(name) > 63 || !validName.MatchString(name) {
		return nil, fmt.Errorf("name %q: use at most 63 lower-case letters, digits and single hyphens, with a letter in front", name)
	}
	files, err := render(lang, name)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	there, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	if len(there) > 0 {
		return nil, fmt.Errorf("%s is not empty: %s is there", dir, there[0].Name())
	}
	var names []string
	for file, content := range files {
		at := filepath.Join(dir, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(at, content, 0o644); err != nil {
			return nil, err
		}
		names = append(names, file)
	}
	slices.Sort(names)
	return names, nil
}

// render returns the files of a project by name.
func render(lang, name string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, from := range []string{"templates/all", "templates/" + lang} {
		err := fs.WalkDir(templates, from, func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := templates.ReadFile(file)
			if err != nil {
				return err
			}
			t, err := template.New(file).Option("missingkey=error").Parse(string(text))
			if err != nil {
				return err
			}
			var b bytes.Buffer
			if err := t.Execute(&b, struct{ Name string }{name}); err != nil {
				return err
			}
			files[strings.TrimSuffix(strings.TrimPrefix(file, from+"/"), ".tmpl")] = b.Bytes()
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if lang != "go" {
		return files, nil
	}
	return files, copySDK(files, "example.com/"+name)
}

// sdkPath is where the SDK is imported from in this repository.
const sdkPath = "github.com/meshc/meshc/plugins/wasm/sdk"

// copySDK adds the SDK to a module of that path: nobody can fetch ours as a
// module, and a project should build without a network.
func copySDK(files map[string][]byte, module string) error {
	found := false
	err := fs.WalkDir(sdk.Source, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(file, "_test.go") || file == "source.go" {
			return err
		}
		text, err := sdk.Source.ReadFile(file)
		if err != nil {
			return err
		}
		found = true
		files[path.Join("sdk", file)] = bytes.ReplaceAll(text, []byte(sdkPath), []byte(module+"/sdk"))
		return nil
	})
	if err == nil && !found {
		err = errors.New("the SDK is not part of this build")
	}
	return err
}

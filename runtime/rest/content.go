package rest

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// fields is a JSON object of which the values are left as they were written.
type fields map[string]json.RawMessage

// content is an object as its dialect's API shows it.
type content struct {
	// body is compact JSON, without kind and apiVersion for Kubernetes.
	body []byte
	// id and tags are those of a Kong entity.
	id   string
	tags []string
}

func contentOf(o *object) (content, error) {
	var m fields
	if err := json.Unmarshal([]byte(o.JSON), &m); err != nil {
		return content{}, fmt.Errorf("its JSON: %w", err)
	}
	if m == nil {
		return content{}, errors.New("its JSON is not an object")
	}
	switch o.Dialect {
	case "kubernetes":
		dropNulls(m)
		return kubernetesContent(o, m)
	case "kuma":
		dropNulls(m)
		return kumaContent(o, m), nil
	case "kong":
		if o.Kind != "Service" {
			return content{}, nil // the view has services only
		}
		return kongContent(o, m)
	}
	return content{}, nil
}

// dropNulls takes null fields out of m, however deep, as the APIs do that
// leave unset fields out.
func dropNulls(m fields) {
	for k, raw := range m {
		switch {
		case string(raw) == "null":
			delete(m, k)
		case bytes.Contains(raw, []byte("null")): // perhaps inside a string only
			d := json.NewDecoder(bytes.NewReader(raw))
			d.UseNumber() // numbers stay as they were written
			var v any
			if d.Decode(&v) == nil { // Unmarshal has checked it
				m[k] = compact(withoutNulls(v))
			}
		}
	}
}

func withoutNulls(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if e == nil {
				delete(v, k)
				continue
			}
			withoutNulls(e)
		}
	case []any:
		for _, e := range v {
			withoutNulls(e)
		}
	}
	return v
}

// appendObject writes m with the keys of first at the front, in that order,
// and the others after them by name.
func appendObject(out []byte, m fields, first ...string) []byte {
	keys := make([]string, 0, len(m))
	for _, k := range first {
		if _, ok := m[k]; ok {
			keys = append(keys, k)
		}
	}
	at := len(keys)
	for k := range m {
		if !slices.Contains(first, k) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys[at:])
	out = append(out, '{')
	for i, k := range keys {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(out, text(k)...), ':')
		out = append(out, m[k]...)
	}
	return append(out, '}')
}

// compact is marshal without the line end.
func compact(v any) []byte {
	b := marshal(v)
	return b[:len(b)-1]
}

// text writes s as a JSON string.
func text(s string) json.RawMessage {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f || s[i] == '"' || s[i] == '\\' {
			return compact(s)
		}
	}
	return json.RawMessage(`"` + s + `"`) // as nearly all names are
}

// secret reports whether a document's data may not be shown.
func secret(d snapshot.Document) bool { return d.Kind == "Secret" || d.Kind == "GlobalSecret" }

// withoutData returns d, if it is a secret without its data. The compiler has
// redacted it, but what a snapshot file holds is not in our hands.
func withoutData(d snapshot.Document) snapshot.Document {
	if !secret(d) {
		return d
	}
	var m fields
	if json.Unmarshal([]byte(d.JSON), &m) != nil || m == nil {
		m = fields{} // newState reports what is not JSON for other kinds; of a secret not even that
	}
	delete(m, "data")
	d.JSON = string(appendObject(nil, m))
	return d
}

// withoutValue returns x without its content, and without the digest of that,
// which would tell a short one to whoever guesses.
func withoutValue(x snapshot.Secret) snapshot.Secret {
	x.Data, x.Digest = "", snapshot.Digest{}
	return x
}

// uid makes a UUID (version 8, RFC 9562) of a document's ID, the same in every
// process.
func uid(id string) string {
	b := sha256.Sum256([]byte("meshc uid " + id))
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// kubernetesContent writes an item of a list: the server's fields of metadata
// replace what the document may say there.
func kubernetesContent(o *object, m fields) (content, error) {
	meta := fields{}
	if raw, ok := m["metadata"]; ok {
		if err := json.Unmarshal(raw, &meta); err != nil {
			return content{}, fmt.Errorf("its metadata: %w", err)
		}
	}
	for _, k := range []string{"managedFields", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"} {
		delete(meta, k)
	}
	meta["name"] = text(o.Name)
	meta["namespace"] = text(o.Namespace)
	meta["uid"] = text(o.uid)
	meta["resourceVersion"] = text(strconv.FormatUint(o.revision, 10))
	meta["creationTimestamp"] = text(o.created.UTC().Format(time.RFC3339))
	delete(m, "kind")
	delete(m, "apiVersion")
	if o.Kind == "Service" && m["status"] == nil {
		m["status"] = json.RawMessage(`{"loadBalancer":{}}`)
	}
	m["metadata"] = appendObject(nil, meta, "name", "generateName", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "labels", "annotations")
	return content{body: appendObject(nil, m, "metadata")}, nil
}

// kumaContent writes a resource with its meta at the front. Times that the
// document says itself count, as they do where policies tie.
func kumaContent(o *object, m fields) content {
	m["type"], m["name"] = text(o.Kind), text(o.Name)
	if o.Mesh != "" {
		m["mesh"] = text(o.Mesh)
	}
	if m["creationTime"] == nil {
		m["creationTime"] = text(o.created.UTC().Format(time.RFC3339Nano))
	}
	if m["modificationTime"] == nil {
		m["modificationTime"] = text(o.modified.UTC().Format(time.RFC3339Nano))
	}
	return content{body: appendObject(nil, m, "type", "mesh", "name", "creationTime", "modificationTime")}
}

// kongFields are the fields of a Service entity; one that is not set is null.
// url is write-only, and routes and plugins are entities of their own.
var kongFields = []string{
	"host", "created_at", "connect_timeout", "id", "protocol", "name", "read_timeout", "port", "path",
	"updated_at", "retries", "write_timeout", "tags", "client_certificate",
}

func kongContent(o *object, m fields) (content, error) {
	var c content
	for k, v := range map[string]any{"id": &c.id, "tags": &c.tags} {
		if raw, ok := m[k]; ok {
			if err := json.Unmarshal(raw, v); err != nil {
				return content{}, fmt.Errorf("its %s: %w", k, err)
			}
		}
	}
	if c.id == "" {
		c.id = o.uid
		m["id"] = text(c.id)
	}
	for k, t := range map[string]time.Time{"created_at": o.created, "updated_at": o.modified} {
		if raw, ok := m[k]; !ok || string(raw) == "null" {
			m[k] = strconv.AppendInt(nil, t.Unix(), 10)
		}
	}
	entity := make(fields, len(kongFields))
	for _, k := range kongFields {
		if entity[k] = m[k]; entity[k] == nil {
			entity[k] = json.RawMessage("null")
		}
	}
	c.body = appendObject(nil, entity, kongFields...)
	return c, nil
}

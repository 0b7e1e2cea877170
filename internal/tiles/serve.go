package tiles

import (
	"net/http"
	"strings"
)

// Handler serves the published log as C2SP tlog-tiles defines it, below a path
// that the caller strips: GET and HEAD of checkpoint and tile/…, without
// authentication. The checkpoint includes the cosignatures that it has; cosigned,
// which is our addition, is the last checkpoint that has any. Only what the
// published checkpoint covers is served. These files never change again and may
// be cached without limit; the checkpoint may not.
func (r *Reader) Handler() http.Handler { return http.HandlerFunc(r.serve) }

// Handler serves the published log: [Reader.Handler].
func (l *Log) Handler() http.Handler { return l.reader.Handler() }

func (r *Reader) serve(w http.ResponseWriter, request *http.Request) {
	if request.Method != http.MethodGet && request.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	c, signed, err := r.Checkpoint()
	if err != nil {
		http.Error(w, "no checkpoint is published", http.StatusServiceUnavailable)
		return
	}
	path := strings.TrimPrefix(request.URL.Path, "/")
	// A page of another origin may verify the log: nothing here is secret.
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if path == checkpointName || path == CosignedByAll {
		cosigned, with, ok := r.witnessed()
		switch {
		case path == CosignedByAll && !ok:
			http.NotFound(w, request)
			return
		case path == CosignedByAll, ok && cosigned.Size == c.Size && cosigned.Root == c.Root:
			signed = with
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-cache")
		_, _ = w.Write(signed) // An error means that the client has gone.
		return
	}
	n, err := parseName(path)
	if err != nil {
		http.NotFound(w, request)
		return
	}
	most, ok := covered(n.level, n.index, c.Size)
	if !ok || n.width > most.width {
		http.NotFound(w, request)
		return
	}
	data, err := r.read(n)
	if err == nil {
		data, err = beginning(n, data)
	}
	if err != nil {
		http.Error(w, "the file cannot be read", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(data) // An error means that the client has gone.
}

// beginning shortens a longer file to the requested width.
func beginning(n name, data []byte) ([]byte, error) {
	if n.level != entries {
		if want := n.width * 32; len(data) >= want {
			return data[:want], nil
		}
		return nil, errWidth
	}
	leaves, err := splitBundle(data)
	if len(leaves) < n.width {
		return nil, err
	}
	length := 0
	for _, leaf := range leaves[:n.width] {
		length += 2 + len(leaf)
	}
	return data[:length], nil
}

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"path"
	"sort"
	"strings"
	"time"
)

// An image of one layer and one architecture.
type image struct {
	name         string
	architecture string
	entrypoint   string
	cmd          []string
	labels       map[string]string
	created      time.Time
	files        []file
}

type object map[string]any

// A blob is named by its content.
type blob struct {
	mediaType string
	content   []byte
}

func (b blob) digest() string {
	sum := sha256.Sum256(b.content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (b blob) path() string { return "blobs/sha256/" + strings.TrimPrefix(b.digest(), "sha256:") }

func (b blob) descriptor() object {
	return object{"mediaType": b.mediaType, "digest": b.digest(), "size": len(b.content)}
}

// archive returns the tar file, and the digest of the image's manifest.
func (i image) archive() ([]byte, string, error) {
	uncompressed, err := pack(withFolders(i.files))
	if err != nil {
		return nil, "", err
	}
	compressed, err := compress(uncompressed)
	if err != nil {
		return nil, "", err
	}
	layer := blob{"application/vnd.oci.image.layer.v1.tar+gzip", compressed}
	config, err := encode("application/vnd.oci.image.config.v1+json", object{
		"created":      i.created.Format(time.RFC3339),
		"architecture": i.architecture,
		"os":           "linux",
		"config": object{
			"User":         nonroot,
			"ExposedPorts": object{"8080/tcp": object{}},
			"Entrypoint":   []string{i.entrypoint},
			"Cmd":          i.cmd,
			"WorkingDir":   "/",
			"Labels":       i.labels,
		},
		"rootfs":  object{"type": "layers", "diff_ids": []string{blob{content: uncompressed}.digest()}},
		"history": []object{{"created": i.created.Format(time.RFC3339), "created_by": "tools/image"}},
	})
	if err != nil {
		return nil, "", err
	}
	manifest, err := encode("application/vnd.oci.image.manifest.v1+json", object{
		"schemaVersion": 2,
		"mediaType":     "application/vnd.oci.image.manifest.v1+json",
		"config":        config.descriptor(),
		"layers":        []object{layer.descriptor()},
	})
	if err != nil {
		return nil, "", err
	}
	files, err := i.layout(layer, config, manifest)
	if err != nil {
		return nil, "", err
	}
	archive, err := pack(withFolders(files))
	return archive, manifest.digest(), err
}

// layout lists the files of the archive: those of an OCI layout, and the
// manifest.json by which docker finds its way among them.
func (i image) layout(layer, config, manifest blob) ([]file, error) {
	described := manifest.descriptor()
	described["platform"] = object{"os": "linux", "architecture": i.architecture}
	described["annotations"] = object{
		"io.containerd.image.name":          i.name,
		"org.opencontainers.image.ref.name": i.name[strings.LastIndex(i.name, ":")+1:],
	}
	index, err := encode("", object{
		"schemaVersion": 2,
		"mediaType":     "application/vnd.oci.image.index.v1+json",
		"manifests":     []object{described},
	})
	if err != nil {
		return nil, err
	}
	docker, err := encode("", []object{{
		"Config":   config.path(),
		"RepoTags": []string{i.name},
		"Layers":   []string{layer.path()},
	}})
	if err != nil {
		return nil, err
	}
	files := []file{
		{"oci-layout", 0o444, []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		{"index.json", 0o444, index.content},
		{"manifest.json", 0o444, docker.content},
	}
	for _, b := range []blob{layer, config, manifest} {
		files = append(files, file{b.path(), 0o444, b.content})
	}
	return files, nil
}

func encode(mediaType string, value any) (blob, error) {
	content, err := json.Marshal(value) // with the keys of maps sorted
	return blob{mediaType, content}, err
}

func compress(content []byte) ([]byte, error) {
	var compressed bytes.Buffer
	writer, err := gzip.NewWriterLevel(&compressed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := writer.Write(content); err != nil {
		return nil, err
	}
	err = writer.Close()
	return compressed.Bytes(), err
}

// withFolders adds the folders that files are in, and sorts by path, so that a
// folder comes before what is in it.
func withFolders(files []file) []file {
	all := map[string]file{}
	for _, f := range files {
		f.path = strings.TrimPrefix(f.path, "/")
		all[f.path] = f
		for folder := path.Dir(f.path); folder != "."; folder = path.Dir(folder) {
			all[folder] = file{path: folder, mode: 0o755}
		}
	}
	sorted := make([]file, 0, len(all))
	for _, f := range all {
		sorted = append(sorted, f)
	}
	sort.Slice(sorted, func(a, b int) bool { return sorted[a].path < sorted[b].path })
	return sorted
}

// pack writes a tar file whose files are root's and as old as time.
func pack(files []file) ([]byte, error) {
	var packed bytes.Buffer
	writer := tar.NewWriter(&packed)
	for _, f := range files {
		header := &tar.Header{
			Typeflag: tar.TypeReg,
			Name:     f.path,
			Mode:     f.mode,
			Size:     int64(len(f.content)),
			ModTime:  time.Unix(0, 0),
			Format:   tar.FormatUSTAR,
		}
		if f.content == nil {
			header.Typeflag, header.Name = tar.TypeDir, f.path+"/"
		}
		if err := writer.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := writer.Write(f.content); err != nil {
			return nil, err
		}
	}
	err := writer.Close()
	return packed.Bytes(), err
}

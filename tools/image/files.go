package main

import (
	"bytes"
	"debug/elf"
	"encoding/pem"
	"errors"
	"fmt"
)

// nonroot is the user of distroless images too.
const nonroot = "65532:65532"

// A file of the image's root; a folder has no content.
type file struct {
	path    string
	mode    int64
	content []byte
}

// rootFiles is all that a program which needs no other file finds at run time.
func rootFiles(path string, program []byte, roots [][]byte) []file {
	return []file{
		// Where rustls, like Go and OpenSSL, looks for the authorities to trust.
		{"/etc/ssl/certs/ca-certificates.crt", 0o444, encodePEM(roots)},
		{path, 0o555, program},
	}
}

func encodePEM(certificates [][]byte) []byte {
	var all bytes.Buffer
	for _, der := range certificates {
		_ = pem.Encode(&all, &pem.Block{Type: "CERTIFICATE", Bytes: der}) // fails only if its writer does
	}
	return all.Bytes()
}

// architectureOf names a program's architecture as images do. A program that
// needs an interpreter or libraries would not even start.
func architectureOf(program []byte) (string, error) {
	parsed, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		return "", err
	}
	defer parsed.Close()
	for _, segment := range parsed.Progs {
		if segment.Type == elf.PT_INTERP {
			return "", errors.New("it is linked dynamically: an image of this file alone could not start it")
		}
	}
	switch parsed.Machine {
	case elf.EM_X86_64:
		return "amd64", nil
	case elf.EM_AARCH64:
		return "arm64", nil
	default:
		return "", fmt.Errorf("%s is no architecture that images are built for here", parsed.Machine)
	}
}

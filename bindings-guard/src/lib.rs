//! `#[guarded]`, above `#[pymethods]`, `#[pyfunction]` or `#[napi]`: no panic leaves what the host calls there. It becomes the
//! host's exception, of the class of `InternalError`.
//!
//! Each body is run by the binding's own `crate::error::guarded`; what gives no `Result` is made to give one, with
//! `crate::error::Raised` as its error.

use proc_macro::TokenStream;
use quote::ToTokens;
use syn::{Block, Error, ImplItem, Item, ReturnType, Signature, Type, parse_macro_input, parse_quote};

/// See the crate.
#[proc_macro_attribute]
pub fn guarded(_: TokenStream, item: TokenStream) -> TokenStream {
    let mut item = parse_macro_input!(item as Item);
    match &mut item {
        Item::Fn(function) => guard(&mut function.sig, &mut function.block),
        Item::Impl(methods) => {
            for method in &mut methods.items {
                if let ImplItem::Fn(method) = method
                    && !is_of_the_collector(&method.sig)
                {
                    guard(&mut method.sig, &mut method.block);
                }
            }
        }
        other => return Error::new_spanned(other, "functions and impls are guarded").into_compile_error().into(),
    }
    item.into_token_stream().into()
}

fn guard(signature: &mut Signature, block: &mut Block) {
    let output: Type = match &signature.output {
        ReturnType::Default => parse_quote!(()),
        ReturnType::Type(_, output) => (**output).clone(),
    };
    if is_result(&output) {
        *block = parse_quote!({ crate::error::guarded(move || -> #output #block) });
    } else {
        signature.output = parse_quote!(-> Result<#output, crate::error::Raised>);
        *block = parse_quote!({ crate::error::guarded_plain(move || -> #output #block) });
    }
}

fn is_result(output: &Type) -> bool {
    let Type::Path(path) = output else { return false };
    path.path.segments.last().is_some_and(|last| last.ident.to_string().ends_with("Result"))
}

/// Python's collector may be given no exception.
fn is_of_the_collector(signature: &Signature) -> bool {
    signature.ident == "__traverse__"
}
